# The C files are formatted as pgindent does it.  Checks that; with --write it
# formats them in place (make format).
#
# pg_bsd_indent has to know the names of types.  Our own are found in the files,
# those of the server and of libraries stand in typedefs.list: add the name if
# "Type * name" comes out with two spaces.

use strict;
use warnings FATAL => 'all';
use File::Temp qw(tempdir);

# as PostgreSQL's pgindent calls it
my @INDENT = qw(pg_bsd_indent -bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12
  -nfc1 -i4 -l79 -lp -lpl -nip -npro -sac -tpg -ts4);

my $write = @ARGV && $ARGV[0] eq '--write';
my $directory = tempdir(CLEANUP => 1);
my $scratch = "$directory/indent";

# What stands in a file.
sub content
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# Makes a file of a text.
sub put
{
	my ($file, $text) = @_;

	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out or die "$file: $!";
	return;
}

# The types that a text of C defines.
sub types
{
	return $_[0] =~ /^typedef (?:struct|union|enum)(?: \w+)?\n\{.*?^\} (\w+);$/gms,
	  $_[0] =~ /^typedef\b[^{;]*?(?:\(\*(\w+)\)[^;]*|\b(\w+));/gm;
}

# A declaration's initializer that is split goes on one level deeper, as newer
# versions of pg_bsd_indent do it.
sub continued
{
	my ($text) = @_;
	my $begins = qr/^(\s*)(?!return|else|case)\w[\w *\t]*[ *\t]\w+(?:\[\w*\])* =(?: [^;{]*)?$/;
	my $open = 0;
	my $before = '';
	my @lines = split /\n/, $text, -1;

	foreach my $line (@lines)
	{
		$open ||= $before =~ $begins && $line =~ /^$1[^\s{]/;
		$before = $line =~ s{\s*/\*.*\*/$}{}r;
		next unless $open;
		# comments stand one character too far
		$line =~ s{^(\t*) (?=/\*| \*)}{$1};
		$line = "\t$line" if $line ne '';
		$open = 0 if $before =~ /;$/;
	}
	return join "\n", @lines;
}

# What pg_bsd_indent makes of a text, less what it does not do well.
sub formatted
{
	my ($text, $name) = @_;

	put("$scratch.c", $text);
	$text = qx(@INDENT -U$scratch.types < $scratch.c 2> $scratch.err);
	my $error = content("$scratch.err");
	die "$name: $error" if $? || $error ne '';
	# the type of a function that stands above it
	$text =~ s/^([A-Za-z_]\S*(?: \w+)*)[ \t]+(\*+)$/$1 $2/mg;
	# designators
	$text =~ s/,(?=\.\w+ = |\[\w+\] = |\['\\?.'\] = )/, /g;
	# compound literals
	$text =~ s/\(((?:struct )?\w+)\)\n[\t ]*\{\n[\t ]*([^\n;]*)\n[\t ]*\}(?=[;,)]| :)/($1) {$2}/g;
	# the lines of a table
	$text =~ s/^(\}\t+\w+\[\w*\] =\n|.* = \{\n)\n(?=\{|\t\/\*)/$1/mg;
	# a type here, a name there
	$text =~ s/\btext \* (?=\w)/text */g;
	return continued($text);
}

# but for the one that is made
my @files = grep { !/metaschema\.h$/ } split /\n/, qx(find src test -name node_modules -prune -o -name '*.[ch]' -print | sort);
my %text = map { $_ => content($_) } @files;
my %types = map { $_ => 1 } grep { defined } map { types($_) } values %text;
my @changed;

if (!grep { -x "$_/pg_bsd_indent" } split /:/, $ENV{PATH})
{
	die "make format needs pg_bsd_indent, of Debian's package pg-bsd-indent\n" if $write;
	print "ok 1 # skip no pg_bsd_indent\n1..1\n";
	exit;
}
put("$scratch.types", join "\n", sort(keys %types), content('test/lint/typedefs.list'));
foreach my $file (@files)
{
	my $formatted = formatted($text{$file}, $file);

	next if $formatted eq $text{$file};
	push @changed, $file;
	put($file, $formatted) if $write;
}
print map { "formatted $_\n" } @changed if $write;
exit if $write;
print @changed ? "not ok 1 - make format would change @changed\n" : "ok 1 - make format would change nothing\n";
print "1..1\n";
exit(@changed ? 1 : 0);
