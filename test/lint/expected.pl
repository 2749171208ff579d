# Each script of pg_regress and each isolation spec is run and has an output that
# is expected, and no output stands there without its script.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use Faults;

# The names of files, without directory and what follows.
sub names
{
	return map { m{([^/]+)\.\w+$} } @_;
}

open my $in, '<', 'Makefile' or die "Makefile: $!";
my $makefile = do { local $/; <$in> } =~ s/\\\n//gr;

foreach my $kind ([ 'REGRESS', 'sql/*.sql', 'expected/*.out' ], [ 'ISOLATION', 'test/isolation/specs/*.spec', 'test/isolation/expected/*.out' ])
{
	my ($variable, $scripts, $outputs) = @$kind;
	my %run = map { $_ => 1 } split ' ', ($makefile =~ /^$variable = (.*)/m)[0];
	my %script = map { $_ => 1 } names(glob $scripts);
	# what comes out otherwise elsewhere has a number at its end
	my %output = map { $script{$_} ? $_ : s/_\d$//r => 1 } names(glob $outputs);

	none("each of $scripts is in $variable", grep { !$run{$_} } sort keys %script);
	none("each of $scripts has an output that is expected", grep { !$output{$_} } sort keys %script);
	none("each of $outputs has its script", grep { !$script{$_} } sort keys %output);
}
exit !finish();
