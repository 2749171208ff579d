# The arguments of ereport(), elog() and Assert() change nothing: they are not
# evaluated when the message is not wanted, or in a build without assertions.
#
# A function that may be called there has to be in @PURE; macros in capitals and
# tests named ...IsValid() may be called.

use strict;
use warnings FATAL => 'all';

# functions and macros that change nothing besides memory and what the report says
my @PURE = qw(
  errcode errcode_for_file_access errcode_for_socket_access errcontext errdetail
  errdetail_internal errdetail_log errdetail_plural errhidecontext errhidestmt errhint
  errmsg errmsg_internal errmsg_plural
  Min Max fms_partition_time get_rel_name lfirst list_length message_of pg_cryptohash_error
  pg_mbcliplen SPI_result_code_string strerror strlen text_to_cstring timestamptz_to_str
  sizeof lengthof LWLockHeldByMe LWLockHeldByMeInMode IsA RelationGetRelid
);
my %pure = map { $_ => 1 } @PURE;

# C without comments, and with empty strings; lines stay where they are.
sub bare
{
	my ($text) = @_;
	my $lines = sub { return $_[0] =~ tr/\n//cdr };

	$text =~ s{/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'}{
		my $found = $&;
		$found =~ m{^/} ? $lines->($found) : '""' . $lines->($found)}gse;
	return $text;
}

# What of the arguments of one call changes something, or may do so.
sub effects
{
	my ($arguments) = @_;
	my @effects;

	push @effects, $1 while $arguments =~ /(\+\+|--|(?<![=!<>])[-+*\/|&^%]?=(?!=)|<<=|>>=)/g;
	while ($arguments =~ /(\w+)\s*\(/g)
	{
		push @effects, "$1()" unless $pure{$1} || $1 =~ /^[A-Z0-9_]+$|IsValid$/;
	}
	return @effects;
}

# The places in a text of C where such arguments are, as "line: effects".
sub faults
{
	my $text = bare($_[0]);
	my @faults;

	while ($text =~ /\b(?:ereport|elog|errsave|ereturn|Assert)\s*(\((?:[^()]++|(?1))*\))/g)
	{
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
		my @effects = effects(substr $1, 1, -1);

		push @faults, "$line: @effects" if @effects;
	}
	return @faults;
}

my $number = 0;

# One line of TAP.
sub ok
{
	my ($good, $name, @why) = @_;

	print $good ? 'ok ' : 'not ok ', ++$number, " - $name\n";
	print map { "# $_\n" } @why unless $good;
	return $good;
}

my %examples = (
	'ereport(LOG, (errmsg("gone: %s", end_http())));' => 1,
	"elog(LOG,\n \"%d\", n++);" => 1,
	'Assert((n = count) > 0);' => 1,
	'Assert(remove_one(list));' => 1,
	'ereport(ERROR, (errcode(A), errmsg("f(%s) = %d /* */", name, a == b)));' => 0,
	'Assert(a <= b && c >= d && e != f);' => 0,
	'/* elog(LOG, "%d", n++) */ n++;' => 0);
my $good = 1;

$good = ok(faults($_) == $examples{$_}, 'the check knows ' . s/\s+/ /gr) && $good foreach sort keys %examples;
foreach my $file (sort glob 'src/*.[ch] src/*/*.[ch] src/*/*/*.[ch]')
{
	open my $in, '<', $file or die "$file: $!";
	my @faults = faults(do { local $/; <$in> });
	close $in;
	# one test for all files that are good
	$good = ok(0, "$file: arguments of reports and assertions change nothing", @faults) && 0 if @faults;
}
ok(1, 'arguments of reports and assertions change nothing in all files') if $good;
print "1..$number\n";
exit !$good;
