# The rooms of src/ include each other one way only.  A room may include those
# that stand before it here, and no others; a new arrow needs a change of this
# list, and a reason.  A directory of a room that is in the list counts as a room:
# the wings of otlp, and what asks nothing of its own room.

use strict;
use warnings FATAL => 'all';

# from the ground up; what stands in one line does not include each other
my @FLOORS = (
	[ 'compat.h', 'limit.h' ],
	[ 'span', 'schema/format', 'otlp/receiver/http' ],
	[ 'context', 'buffer', 'schema' ],
	[ 'log', 'table', 'tool' ],
	[ 'usage' ],
	[ 'record', 'worker', 'trace' ],
	[ 'otlp' ],
	[ 'otlp/in', 'otlp/out' ],
	[ 'otlp/exporter', 'otlp/receiver' ],
	[ 'the front door' ]);
my %floor;

foreach my $height (0 .. $#FLOORS)
{
	$floor{$_} = $height foreach @{ $FLOORS[$height] };
}

# The room of a file: the innermost directory that has a floor.
sub room
{
	my $room = $_[0] =~ s{^src/}{}r;

	return $room if exists $floor{$room};

	while ($room =~ s{/[^/]*$}{})
	{
		return $room if exists $floor{$room};
	}
	return $_[0] =~ m{^src/(\w+)/} ? $1 : 'the front door';
}

my $number = 0;
my $good = 1;

# One line of TAP.
sub ok
{
	my ($holds, $name) = @_;

	print $holds ? 'ok ' : 'not ok ', ++$number, " - $name\n";
	$good &&= $holds;
	return;
}

my $arrows = 0;
foreach my $file (sort glob 'src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] src/*/*/*/*.[ch]')
{
	my $from = room($file);

	open my $in, '<', $file or die "$file: $!";
	while (<$in>)
	{
		next unless m{^#include "([\w/]+\.h)"} && -e "src/$1";
		my $to = room("src/$1");
		next unless exists $floor{$to} && $to ne $from;
		$arrows++;
		ok(0, "$file: line $.: $from/ includes $1, which does not stand below it")
			unless exists $floor{$from} && $floor{$to} < $floor{$from};
	}
	close $in;
	ok(0, "$file: its room has a floor") unless exists $floor{$from};
}
ok($arrows > 0, "each of $arrows includes of another room goes down") if $good;
print "1..$number\n";
exit !$good;
