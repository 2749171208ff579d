// The server's log is what pino writes: pino's own reader takes it, and a line of an
// application is the line that pino itself would have written.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import pg from 'pg';
import pino from 'pino';

const TRACE = '550e8400-e29b-41d4-a716-446655440000';
const REQUEST = '7c9e6679-7425-40de-944b-e07fc1f90ae7';

// What the server's log gains while a session works for the request.
async function logged(work: (client: pg.Client) => Promise<unknown>): Promise<string> {
	const client = new pg.Client();
	await client.connect();
	await client.query('SET flowmaestro.log_format = json');
	await client.query(`SELECT flowmaestro.use_request_context(flowmaestro.create_request_context(
		'user-123', $1, $2), local => false)`, [TRACE, REQUEST]);
	const { rows: [{ pid }] } = await client.query('SELECT pg_backend_pid() AS pid');
	const file = readlinkSync(`/proc/${pid}/fd/2`);
	const before = readFileSync(file).length;
	await work(client);
	await client.end();
	return readFileSync(file).subarray(before).toString();
}

// The lines that are ours; other sessions of the server may log as well.
function ours(log: string): Record<string, any>[] {
	return log.split('\n').filter(line => line.includes(TRACE)).map(line => JSON.parse(line));
}

test('a line of an application is the line that pino writes', async () => {
	let base = {};
	const [line] = ours(await logged(async client => {
		({ rows: [base] } = await client.query('SELECT pg_backend_pid() AS pid, session_user AS user'));
		await client.query(
			`SELECT flowmaestro.log('info', 'Agent execution started', '{"agentId": "agent-456", "model": "gpt-4o"}')`);
	}));
	let written = '';
	pino({ base }, { write: (text: string) => { written = text; } })
		.child({ traceId: TRACE, requestId: REQUEST, userId: 'user-123' })
		.info({ agentId: 'agent-456', model: 'gpt-4o' }, 'Agent execution started');
	const { time, ...rest } = JSON.parse(written);
	assert.ok(Math.abs(line.time - time) < 60_000);
	assert.deepEqual({ ...line, time: undefined }, { ...rest, time: undefined });
});

test('pino-pretty reads the log', async () => {
	const log = await logged(async client => {
		await client.query(`SELECT flowmaestro.log('warn', 'low on tokens', '{"left": 12}')`);
		await assert.rejects(client.query(`DO $$ BEGIN RAISE EXCEPTION 'no "way"' USING ERRCODE = '23514'; END $$`));
	});
	const command = createRequire(import.meta.url).resolve('pino-pretty/bin.js');
	const pretty = execFileSync(process.execPath, [command, '--colorize=false'], { input: log }).toString();
	assert.match(pretty, /^\[.*\] WARN.*: low on tokens$/m);
	assert.match(pretty, /^ {4}left: 12$/m);
	assert.match(pretty, /^\[.*\] ERROR.*: no "way"$/m);
	assert.match(pretty, /^ {4}err: \{$/m);
	assert.match(pretty, /PL\/pgSQL function inline_code_block line 1 at RAISE/);
	assert.match(pretty, new RegExp(`^ {4}traceId: "${TRACE}"$`, 'm'));
	// what it cannot read, it repeats
	assert.doesNotMatch(pretty, /^\{/m);
});
