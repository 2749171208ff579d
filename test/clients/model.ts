/**
 * A model without a network, for agents of any framework: it wants a tool, then it has
 * the answer.  What it says of its tokens is what the database has to tell.
 */
function usage(input: number, output: number) {
	return {
		inputTokens: { total: input, noCache: input - 10, cacheRead: 10, cacheWrite: 0 },
		outputTokens: { total: output, text: output - 5, reasoning: 5 },
	};
}

export function answers() {
	return [{
		content: [{ type: 'tool-call' as const, toolCallId: 'call-1', toolName: 'weather', input: '{"city":"Bergen"}' }],
		finishReason: { unified: 'tool-calls' as const, raw: undefined }, usage: usage(100, 20), warnings: [],
	}, {
		content: [{ type: 'text' as const, text: 'It rains.' }],
		finishReason: { unified: 'stop' as const, raw: undefined }, usage: usage(200, 30), warnings: [],
	}];
}

export const TRUTH = {
	calls: 2, prompt_tokens: 100 + 200, completion_tokens: 20 + 30, cache_read_tokens: 10 + 10, reasoning_tokens: 5 + 5,
};

export const EMBEDDING = { embeddings: [[0.1, 0.2]], usage: { tokens: 7 }, warnings: [] };
