// The pages are true: their SQL prints what they say, and their TypeScript is part of
// a file that is tested.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const here = import.meta.dirname;
const sources = readdirSync(here, { recursive: true, encoding: 'utf8' })
	.filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
	.map((name) => plain(readFileSync(`${here}/${name}`, 'utf8')));

/** Text without differences of white space. */
function plain(text: string): string {
	return text.replace(/\s+/g, ' ').trim();
}

/** The blocks of code of a page: what language, which text. */
function blocksOf(page: string): { language: string; text: string }[] {
	return Array.from(page.matchAll(/^```(\w*)\n(.*?)^```$/gms),
		([, language, text]) => ({ language: language!, text: text! }));
}

for (const name of ['temporal', 'opentelemetry']) {
	const blocks = blocksOf(readFileSync(`${here}/../../doc/${name}.md`, 'utf8'));

	test(`doc/${name}.md: the SQL prints what the page says`, () => {
		const mark = '-- next block --';
		const sql = blocks.filter(({ language }) => language === 'sql');
		const script = sql.map(({ text }) => `${text}\n\\echo '${mark}'\n`).join('');
		const printed = execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1'], { input: script, encoding: 'utf8' })
			.split(`${mark}\n`);
		assert.equal(printed.length, sql.length + 1);
		blocks.forEach(({ language, text }, at) => {
			if (language === '' && blocks[at - 1]?.language === 'sql') {
				const actual = printed[sql.indexOf(blocks[at - 1]!)]!;
				const lines = (of: string) => of.split('\n').map((line) => line.trimEnd()).join('\n').trim();
				assert.equal(lines(actual), lines(text));
			}
		});
	});

	test(`doc/${name}.md: the TypeScript is that of the tests`, () => {
		for (const { language, text } of blocks) {
			if (language === 'ts') {
				assert.ok(sources.some((source) => source.includes(plain(text))), text);
			}
		}
	});
}
