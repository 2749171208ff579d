// What an application developer copies from here has types that hold.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('the TypeScript of all clients is sound', () => {
	const tsc = spawnSync('tsc', ['--project', '.'], { cwd: import.meta.dirname, encoding: 'utf8' });
	assert.equal(tsc.status, 0, tsc.stdout + tsc.stderr);
});
