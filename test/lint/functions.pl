# What every C file of src/ keeps to: a function has a comment before it and at
# most 60 lines, a file at most 1,000, of ten lines one with a comment; the server's
# version is asked for in compat.h only; what other files see begins with fms_, and
# another file uses it.  Functions, types and files have names of their own: a
# profile and a debugger show nothing else.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use Faults;

use constant { MOST_LINES => 60, LONGEST_FILE => 1000, LEAST_COMMENTS => 0.1 };

# but for the one that is made
my @files = grep { !/metaschema\.h$/ } sort glob 'src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] src/*/*/*/*.[ch]';
my %text;

# Names that the server looks for, not another file of ours.
sub for_server
{
	my ($name) = @_;
	my $sql = join '', map { my $file = $_; open my $in, '<', $file or die "$file: $!"; local $/; <$in> } glob 'src/*.sql src/*/*.sql src/*/*/*.sql';

	return $name eq '_PG_init' || $sql =~ /'\Q$name\E'/;
}

# The share of a text's lines that a comment stands in.
sub commented
{
	my ($text) = @_;
	my $lines = 0;

	$lines += 1 + (($1 =~ tr/\n//)) while $text =~ m{(/\*.*?\*/)}gs;
	return $lines / ($text =~ tr/\n//);
}

foreach my $file (@files)
{
	open my $in, '<', $file or die "$file: $!";
	$text{$file} = do { local $/; <$in> };
	close $in;
}

my (@headless, @long_functions, @unprefixed, @unused, %named);
my $functions = 0;
foreach my $file (grep { /\.c$/ } @files)
{
	my @lines = split /\n/, $text{$file};

	for (my $i = 2; $i < @lines; $i++)
	{
		next unless $lines[$i] eq '{';
		# the name stands at the beginning of a line before, its type above it
		my $head = $i - 1;
		$head-- while $head > 0 && $lines[$head] !~ /^\w+\s*\(/ && $lines[$head] =~ /^[\t ]/;
		next unless $lines[$head] =~ /^(\w+)\s*\(/;
		my $name = $1;
		my $type = $lines[ $head - 1 ];
		my $end = $i;

		$end++ until $lines[$end] eq '}';
		$functions++;
		$named{$name}{$file} = 1;
		# a declaration with the comment may stand before it
		push @headless, "$file: $name"
			unless $lines[ $head - 2 ] =~ /\*\/$/ || $text{$file} =~ /\*\/\n\Q$type\E\n\Q$name\E\([^;]*;/;
		push @long_functions, "$file: $name (" . ($end - $i - 1) . ' lines)' if $end - $i - 1 > MOST_LINES;
		next if $type =~ /^static\b/ || $type =~ /\binline\b/;
		push @unprefixed, "$file: $name" unless $name =~ /^fms_/ || $name eq '_PG_init';
		push @unused, "$file: $name"
			unless grep({ $_ ne $file && !/\.h$/ && $text{$_} =~ /\b\Q$name\E\b/ } @files) || for_server($name) || join('', @text{@files}) =~ /"\Q$name\E"/;
	}
}
none("each of $functions functions has a comment before it", @headless);
none('no function is longer than ' . MOST_LINES . ' lines', @long_functions);
foreach my $file (@files)
{
	$named{$1}{$file} = 1 while $text{$file} =~ /^\} (\w+);$/mg;
	$named{ $file =~ s{.*/}{}r }{$file} = 1;
}
none('functions, types and files have names of their own',
	map { "$_: " . join ', ', sort keys %{ $named{$_} } }
	  grep { keys %{ $named{$_} } > 1 } sort keys %named);
none('what other files see begins with fms_', @unprefixed);
none('what other files can see, another file uses', @unused);
none('no file is longer than ' . LONGEST_FILE . ' lines', grep { ($text{$_} =~ tr/\n//) > LONGEST_FILE } @files);
none('of each file at least ' . 100 * LEAST_COMMENTS . ' % of the lines have comments',
	grep { commented($text{$_}) < LEAST_COMMENTS } @files);
none("the server's version is asked for in compat.h only", grep { $_ ne 'src/compat.h' && $text{$_} =~ /\bPG_VERSION_NUM\b/ } @files);
exit !finish();
