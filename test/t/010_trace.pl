# What pg_regress cannot look at: the page of a trace in a browser, databases in
# other encodings, and plans that outlive the table that they were made for.

use strict;
use warnings FATAL => 'all';

use Compress::Zlib ();
use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('trace');
my $directory = PostgreSQL::Test::Utils::tempdir();
my ($chromium) = grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH};

# Insert a trace: rows of id, parent, name, start and length in ms, status.
sub insert_trace
{
	my ($database, $trace, $rows) = @_;

	$node->safe_psql(
		$database, qq{
SELECT flowmaestro.make_partition('2024-01-01 00:00:00+00');
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, started_at, ended_at, status, attributes)
SELECT md5('$trace')::uuid, md5('$trace' || id)::uuid, md5('$trace' || parent)::uuid, name, 'tool_execution',
    '2024-01-01 00:00:00+00'::timestamptz + from_ms * interval '1 ms', '2024-01-01 00:00:00+00'::timestamptz + (from_ms + ms) * interval '1 ms', status,
    jsonb_build_object('name', name)
FROM ($rows) AS v (id, parent, name, from_ms, ms, status)});
	return;
}

# The page of a trace, saved in a file; what is put behind its script is there for tests.
sub save_page
{
	my ($trace, $file, $behind) = @_;
	my $page = $node->safe_psql('postgres', "SELECT flowmaestro.trace_html(md5('$trace')::uuid)");

	if (defined $behind)
	{
		# a script that is not the page's own needs a page without a policy
		$page =~ s/<meta http-equiv="Content-Security-Policy"[^>]*>// or die 'no policy';
		$page =~ s/<\/body>/<script>$behind<\/script><\/body>/ or die 'no body';
	}
	open my $out, '>', "$directory/$file" or die $!;
	print $out $page;
	close $out;
	return $page;
}

# Look at a file with the browser; returns what it prints, and its complaints.
my $profiles = 0;

sub browse
{
	my ($file, @options) = @_;
	my ($out, $err) = ('', '');
	my $profile = "$directory/profile" . ++$profiles;

	IPC::Run::run(
		[
			$chromium, qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
			  --disable-background-networking --disable-component-update --disable-sync
			  --disable-dev-shm-usage --hide-scrollbars --enable-logging=stderr
			  --virtual-time-budget=5000), '--window-size=1280,800', "--user-data-dir=$profile",
			@options, "file://$directory/$file"
		],
		'<', '/dev/null', '>', \$out, '2>', \$err, IPC::Run::timeout(120)) or diag("$file: $err");
	my @complaints = grep { /CONSOLE/ } split /\n/, $err;
	return ($out, \@complaints);
}

# The pixels of a PNG with 8 bits a channel, as counts by colour; width, height.
sub read_png
{
	my ($png) = @_;
	my ($at, $packed, $width, $height, $type) = (8, '');

	die 'not a PNG' unless substr($png, 0, 8) eq "\x89PNG\r\n\x1a\n";
	while ($at < length $png)
	{
		my ($length, $name) = unpack 'N a4', substr($png, $at, 8);
		my $body = substr($png, $at + 8, $length);

		($width, $height, my $depth, $type) = unpack 'N N C C', $body if $name eq 'IHDR';
		die "depth $depth" if defined $depth && $depth != 8;
		$packed .= $body if $name eq 'IDAT';
		$at += 12 + $length;
	}
	my $channels = { 2 => 3, 6 => 4 }->{$type} or die "type $type";
	my $rows = Compress::Zlib::uncompress($packed);
	my $stride = $width * $channels;
	my @before = (0) x $stride;
	my %count;
	for my $y (0 .. $height - 1)
	{
		my ($filter, @row) = unpack 'C*', substr($rows, $y * ($stride + 1), $stride + 1);
		for my $x (0 .. $stride - 1)
		{
			my $a = $x < $channels ? 0 : $row[ $x - $channels ];
			my $b = $before[$x];
			my $c = $x < $channels ? 0 : $before[ $x - $channels ];
			my $predicted = 0;

			if ($filter == 1) { $predicted = $a }
			elsif ($filter == 2) { $predicted = $b }
			elsif ($filter == 3) { $predicted = ($a + $b) >> 1 }
			elsif ($filter == 4)
			{
				my ($pa, $pb, $pc) = (abs($b - $c), abs($a - $c), abs($a + $b - 2 * $c));
				$predicted = $pa <= $pb && $pa <= $pc ? $a : $pb <= $pc ? $b : $c;
			}
			$row[$x] = ($row[$x] + $predicted) & 255 if $filter;
		}
		for (my $x = 0; $x < $stride; $x += $channels)
		{
			$count{ sprintf '%02x%02x%02x', @row[ $x .. $x + 2 ] }++;
		}
		@before = @row;
	}
	return ($width, $height, \%count);
}

insert_trace('postgres', 'run', q{VALUES
	('a', NULL, 'agent run', 0, 1000, 'completed'),
	('b', 'a', 'llm: gpt-4o', 0, 400, 'completed'),
	('c', 'a', 'tool: refund', 400, 600, 'failed'),
	('d', 'c', 'http request', 450, 300, 'completed')});
insert_trace('postgres', 'hostile', q{VALUES
	('a', NULL, '<img src=x onerror="document.title=''owned''">', 0, 1000, 'completed'),
	('b', 'a', '</script><script>document.title="owned"</script>', 0, 400, '"><b>'),
	('c', 'a', 'user' || U&'\202E' || 'txt.exe', 400, 600, 'failed'),
	('d', 'c', '<!--<script>', 450, 300, 'completed'),
	('e', 'c', E'\u2028 alert(1) \u2029', 450, 300, 'completed'),
	('f', 'c', '${alert(1)} {{constructor}} javascript:alert(1)', 450, 300, 'completed'),
	('g', 'c', repeat('<b>', 300000), 450, 300, 'completed')});
insert_trace('postgres', 'big',
	q{SELECT k, CASE WHEN k > 0 THEN k / 3 END, 'span ' || k, k, 30000 - k, 'completed' FROM generate_series(0, 19999) AS k});

SKIP:
{
	skip 'chromium is not installed, so the page was not looked at', 1 unless $chromium;

	subtest 'a page' => sub {
		save_page('run', 'run.html');
		my ($dom, $complaints) = browse('run.html', '--dump-dom');
		like($dom, qr/data-ready="4"/, 'the script ran to its end');
		is(() = $dom =~ /class="bar /g, 4, 'each span has a bar');
		is(() = $dom =~ /class="bar failed/g, 1, 'the failed one is marked');
		like($dom, qr/class="bar completed critical" title="llm: gpt-4o[^"]*" style="left: 0%; width: 40%;"/, 'a bar lies where the time was');
		like($dom, qr/1\.00 s \S+ 4 spans \S+ 1 failed \S+ 0 running/, 'the facts are told');
		is_deeply($complaints, [], 'the browser has no complaint');

		browse('run.html', "--screenshot=$directory/run.png");
		my ($width, $height, $colours) = read_png(slurp_file("$directory/run.png"));
		is("${width}x$height", '1280x800', 'a screenshot of the size asked for');
		# the lane of bars is about 500 pixels wide; a bar is 12 high
		cmp_ok($colours->{'3f7fd0'} // 0, '>', 3000, 'bars of what went well can be seen');
		cmp_ok($colours->{'cf3b3b'} // 0, '>', 1500, 'and the one of what failed');
		cmp_ok($colours->{'ffffff'} // 0, '>', 500_000, 'on a light ground');
	};

	subtest 'a dark page' => sub {
		browse('run.html', '--blink-settings=preferredColorScheme=0', "--screenshot=$directory/dark.png");
		my ($width, $height, $colours) = read_png(slurp_file("$directory/dark.png"));
		cmp_ok($colours->{'16181c'} // 0, '>', 500_000, 'a dark ground');
		cmp_ok($colours->{'5c9cec'} // 0, '>', 3000, 'bars in the colour for it');
		is($colours->{'ffffff'} // 0, 0, 'and nothing white');
	};

	subtest 'hostile names' => sub {
		save_page('hostile', 'hostile.html');
		my ($dom, $complaints) = browse('hostile.html', '--dump-dom');
		like($dom, qr/data-ready="7"/, 'the page is drawn');
		like($dom, qr/<title>Trace<\/title>/, 'nobody else set its title');
		is(() = $dom =~ /<script/g, 2, 'there is no script but ours');
		# what the page shows, without its data block
		(my $shown = $dom) =~ s/<script.*?<\/script>//gs;
		unlike($shown, qr/<(?:img|b\s+on|iframe|object|a)\b/i, 'no markup came from a name');
		like($shown, qr/&lt;img src=x onerror=/, 'the name is there as text');
		is(() = $shown =~ /class="bar /g, 7, 'each span has a bar');
		unlike($shown, qr/\xe2\x80(?:\xae|\xa8|\xa9)/, 'what would turn the text around does not get there');
		is_deeply($complaints, [], 'the browser has no complaint');
	};

	subtest 'a page refuses what is not its own' => sub {
		my $page = save_page('run', 'refuses.html');
		$page =~ s/<\/body>/<script>document.documentElement.dataset.ready = 'owned'<\/script><img src="http:\/\/192.0.2.1\/x"><\/body>/;
		open my $out, '>', "$directory/refuses.html" or die $!;
		print $out $page;
		close $out;
		my ($dom, $complaints) = browse('refuses.html', '--dump-dom');
		like($dom, qr/data-ready="4"/, 'a script that was put into it does not run');
		cmp_ok(scalar(grep { /Content Security Policy/ } @$complaints), '>=', 2, 'it and the image are refused');
	};

	subtest 'keyboard, search, zoom' => sub {
		save_page('run', 'keys.html', <<'SCRIPT');
const $ = (id) => document.getElementById(id);
const report = {};
const press = (key, where) => (where || $("rows")).dispatchEvent(new KeyboardEvent("keydown", { key: key, bubbles: true, cancelable: true }));
const names = () => [...document.querySelectorAll(".row .name span")].map((e) => e.textContent);
const picked = () => document.querySelector(".row.picked .name span").textContent;
const left = () => document.querySelectorAll(".bar")[1].style.width;
report.start = picked();
press("ArrowDown"); press("ArrowDown"); report.down = picked();
report.details = [...document.querySelectorAll("#details dd")].map((e) => e.textContent).slice(0, 2);
report.input = document.querySelector("#details pre").textContent;
press("ArrowLeft"); report.closed = names();
press("ArrowRight"); report.open = names().length;
press("End"); report.end = picked();
press("ArrowLeft"); report.parent = picked();
press("Home"); report.home = picked();
report.width = left(); press("+"); report.zoomed = left(); press("0"); report.whole = left();
press("/"); report.focus = document.activeElement.id;
$("search").value = "REFUND"; $("search").dispatchEvent(new Event("input"));
report.found = names(); report.hits = $("hits").textContent; report.marked = document.querySelectorAll(".row.hit").length;
press("Escape", $("search")); report.all = names().length; report.back = document.activeElement.id;
$("theme").click(); report.theme = document.documentElement.dataset.theme;
$("theme").click(); report.theme2 = document.documentElement.dataset.theme;
report.roles = [$("rows").getAttribute("role"), document.querySelector(".row").getAttribute("role"), document.querySelector(".row").getAttribute("aria-level"), $("rows").getAttribute("aria-activedescendant")];
const made = document.createElement("pre"); made.id = "report"; made.textContent = btoa(JSON.stringify(report)); document.body.append(made);
SCRIPT
		my ($dom, $complaints) = browse('keys.html', '--dump-dom');
		is_deeply($complaints, [], 'no error');
		my ($text) = $dom =~ /<pre id="report">([^<]*)/ or die 'no report';
		my $report = JSON::PP::decode_json(MIME::Base64::decode_base64($text));
		is($report->{start}, 'agent run', 'the root is chosen at first');
		is($report->{down}, 'tool: refund', 'down goes down');
		is_deeply($report->{details}, [ 'failed', 'tool_execution' ], 'the details are of the chosen span');
		is($report->{input}, '{"name": "tool: refund"}', 'with what it recorded');
		is_deeply($report->{closed}, [ 'agent run', 'llm: gpt-4o', 'tool: refund' ], 'left closes');
		is($report->{open}, 4, 'right opens');
		is($report->{end}, 'http request', 'End is the last one');
		is($report->{parent}, 'tool: refund', 'left of a leaf is its parent');
		is($report->{home}, 'agent run', 'Home is the first one');
		is($report->{width}, '40%', 'a bar has its width');
		isnt($report->{zoomed}, '40%', '+ zooms');
		is($report->{whole}, '40%', '0 shows all');
		is($report->{focus}, 'search', '/ goes to the search');
		is_deeply($report->{found}, [ 'agent run', 'tool: refund' ], 'a search shows the hit and the way to it');
		is($report->{hits}, '1 found', 'and how many there are');
		is($report->{marked}, 1, 'and marks it');
		is($report->{all}, 4, 'Escape ends it');
		is($report->{back}, 'rows', 'and goes back');
		is($report->{theme}, 'dark', 'the theme can be chosen');
		is($report->{theme2}, 'light', 'and changed back');
		is_deeply($report->{roles}, [ 'treegrid', 'row', '1', 'row0' ], 'a screen reader is told what it is');
	};

	subtest 'a big page' => sub {
		save_page('big', 'big.html');
		my ($dom, $complaints) = browse('big.html', '--dump-dom');
		like($dom, qr/data-ready="20000"/, 'all spans are read');
		my $rows = () = $dom =~ /class="row/g;
		cmp_ok($rows, '>', 20, 'rows in view are drawn');
		cmp_ok($rows, '<', 100, 'others are not');
		is_deeply($complaints, [], 'the browser has no complaint');
	};
}

subtest 'other encodings' => sub {
	for my $encoding ('LATIN1', 'SQL_ASCII', 'EUC_JP')
	{
		my $database = lc $encoding;
		$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
		$node->safe_psql($database, 'CREATE EXTENSION flowmaestro_spans');
		# e9 is a letter in LATIN1; a4a2 one in EUC_JP; nobody knows in SQL_ASCII
		my $letter = $encoding eq 'EUC_JP' ? '\xa4a2' : '\xe9';
		insert_trace($database, 'run',
			"VALUES ('a', NULL, 'caf' || convert_from('$letter', '$encoding'), 0, 1000, 'completed'), ('b', 'a', E'\\x1b[31m' || 'x', 0, 400, 'completed')");
		local $ENV{PGCLIENTENCODING} = $encoding;
		my $text = $node->safe_psql($database, "SELECT * FROM flowmaestro.trace_tree_text(md5('run')::uuid)");
		my $shown = { LATIN1 => "caf\xe9", SQL_ASCII => 'caf?', EUC_JP => "caf\xa4\xa2" }->{$encoding};
		like($text, qr/^\+ \Q$shown\E +1\.00 s #+$/m, "$encoding: the drawing is ASCII, the name is itself");
		like($text, qr/^`- \+ \?\[31mx /m, 'what a terminal obeys is not in it');
		unlike($text, qr/[^\n\x20-\xff]/, 'nor anything like it');
		my $html = $node->safe_psql($database, "SELECT flowmaestro.trace_html(md5('run')::uuid)");
		my $code = { LATIN1 => '\u00e9', SQL_ASCII => '\ufffd', EUC_JP => '\u3042' }->{$encoding};
		like($html, qr/"caf\Q$code\E"/, 'in the page it is Unicode');
		unlike($html, qr/[^\n\t\x20-\x7e]/, 'which is ASCII as a whole');
	}
};

subtest 'one session, and the table comes and goes' => sub {
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $tree = "SELECT count(*) FROM flowmaestro.get_trace_tree(md5('run')::uuid)";
	is($session->query($tree), '4', 'a trace is read');
	is($session->query("SELECT count(*) FROM flowmaestro.query_spans(trace_id => md5('run')::uuid)"), '4', 'and searched');
	# a partition that was not there when the plan was made
	$session->query(
		q{SELECT flowmaestro.make_partition('2024-02-01 00:00:00+00');
INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status)
VALUES (md5('run')::uuid, md5('late')::uuid, 'late', 'x', '2024-02-01 00:00:00+00', 'started')});
	is($session->query($tree), '5', 'a span in a new partition is seen');
	$session->query(q{DROP TABLE flowmaestro.execution_spans_p20240201});
	is($session->query($tree), '4', 'and is gone with it');
	$session->query('DROP EXTENSION flowmaestro_spans');
	$session->query('CREATE EXTENSION flowmaestro_spans');
	is($session->query($tree), '0', 'a new extension has a table of its own');
	$session->query(q{SELECT flowmaestro.create_span('again', 'x', trace_id => md5('run')::uuid), flowmaestro.flush()});
	$session->query('SELECT flowmaestro.flush()');
	is($session->query($tree), '1', 'which is read');
	$session->quit;
};

is(scalar(our_errors($node)), 0, 'no error in the background') or diag(our_errors($node));
$node->stop;

done_testing();
