// The driver reaches the server the way libpq's environment says, by the socket.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';

test('pg connects by the Unix-domain socket and records a span', async () => {
	const client = new pg.Client();
	await client.connect();
	const { rows: [span] } = await client.query(
		"SELECT * FROM flowmaestro.create_span('connected', 'http_request')");
	const { rows: [{ ended }] } = await client.query(
		'SELECT flowmaestro.end_span($1, $2) AS ended', [span.span_id, JSON.stringify({ code: 200 })]);
	assert.equal(ended, true);
	await client.query('SELECT flowmaestro.flush()');
	const { rows: [{ trace }] } = await client.query(
		'SELECT flowmaestro.get_trace($1) AS trace', [span.trace_id]);
	assert.equal(trace.status, 'completed');
	assert.deepEqual(trace.rootSpan.output, { code: 200 });
	assert.equal((await client.query('SELECT inet_client_addr() AS address')).rows[0].address, null);
	await client.end();
});
