/**
 * A PostgreSQL server of a test's own, for what a test must not do to the common one:
 * other settings, stopped and killed processes, restarts.
 */
import { execFile, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
	const { port } = server.address() as { port: number };
	await new Promise((done) => server.close(done));
	return port;
}

/** Waits until something holds, at most a minute. */
export async function until(what: string, holds: () => Promise<unknown> | unknown, every = 50): Promise<void> {
	const end = Date.now() + 60_000;
	while (!await holds()) {
		if (Date.now() > end) {
			throw new Error(`not within a minute: ${what}`);
		}
		await sleep(every);
	}
}

export class Cluster {
	readonly #directory = mkdtempSync(`${tmpdir()}/cluster-`);
	readonly pool: pg.Pool;

	private constructor() {
		this.pool = new pg.Pool({ host: this.#directory, port: 5432, user: 'postgres', database: 'postgres' });
		this.pool.on('error', () => {}); // an idle connection ends with the server
	}

	/** Makes a server that has the extension in database postgres. */
	static async start(settings: Record<string, string | number>): Promise<Cluster> {
		const cluster = new Cluster();
		await run('initdb', ['-D', cluster.data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--no-sync']);
		cluster.configure({
			listen_addresses: '', unix_socket_directories: cluster.#directory,
			shared_preload_libraries: 'flowmaestro_spans', fsync: 'off', ...settings,
		});
		await cluster.up();
		await cluster.pool.query('CREATE EXTENSION flowmaestro_spans');
		return cluster;
	}

	get data(): string {
		return `${this.#directory}/data`;
	}

	configure(settings: Record<string, string | number>): void {
		appendFileSync(`${this.data}/postgresql.conf`,
			Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`).join(''));
	}

	log(): string {
		return readFileSync(`${this.#directory}/log`, 'utf8');
	}

	/** Starts the server; it does not end with a signal to the test's process group. */
	async up(): Promise<void> {
		const start = spawn('pg_ctl', ['-D', this.data, '-l', `${this.#directory}/log`, '-w', 'start'],
			{ stdio: 'ignore', detached: true });
		const code = await new Promise((done) => start.on('exit', done));
		if (code !== 0) {
			throw new Error(`the server does not start: ${this.log()}`);
		}
	}

	async down(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
		await run('pg_ctl', ['-D', this.data, '-m', mode, '-w', 'stop']);
	}

	/** The processes of a kind, as pg_stat_activity names it. */
	async processes(kind: string): Promise<number[]> {
		const { rows } = await this.pool.query('SELECT pid FROM pg_stat_activity WHERE backend_type = $1', [kind]);
		return rows.map(({ pid }) => pid);
	}

	/** Stops the server and removes it. */
	async destroy(): Promise<void> {
		await this.pool.end();
		await this.down('immediate');
		rmSync(this.#directory, { recursive: true });
	}
}
