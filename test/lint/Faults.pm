# TAP of a check that looks for faults.
package Faults;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(none finish);

my $number = 0;
my $good = 1;

# One line of TAP, for each fault, or one for none.
sub none
{
	my ($what, @faults) = @_;

	print 'not ok ', ++$number, " - $what: $_\n" foreach @faults;
	print 'ok ', ++$number, " - $what\n" unless @faults;
	$good &&= !@faults;
	return;
}

# The plan; returns whether there was no fault.
sub finish
{
	print "1..$number\n";
	return $good;
}

1;
