-- Room usage: a price list to begin with. It is data to be replaced, not truth:
-- prices differ by contract, region and day.

CREATE FUNCTION @extschema@.starter_model_prices()
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_agg(p || '{"valid_from": "2023-01-01 00:00:00+00", "currency": "USD"}') FROM jsonb_array_elements('[
        {"provider": "openai", "model": "gpt-5", "input": 1.25, "output": 10, "cache_read": 0.125},
        {"provider": "openai", "model": "gpt-5-mini", "input": 0.25, "output": 2, "cache_read": 0.025},
        {"provider": "openai", "model": "gpt-5-nano", "input": 0.05, "output": 0.4, "cache_read": 0.005},
        {"provider": "openai", "model": "gpt-4.1", "input": 2, "output": 8, "cache_read": 0.5},
        {"provider": "openai", "model": "gpt-4.1-mini", "input": 0.4, "output": 1.6, "cache_read": 0.1},
        {"provider": "openai", "model": "gpt-4.1-nano", "input": 0.1, "output": 0.4, "cache_read": 0.025},
        {"provider": "openai", "model": "gpt-4o", "input": 2.5, "output": 10, "cache_read": 1.25},
        {"provider": "openai", "model": "gpt-4o-mini", "input": 0.15, "output": 0.6, "cache_read": 0.075},
        {"provider": "openai", "model": "gpt-4-turbo", "input": 10, "output": 30},
        {"provider": "openai", "model": "gpt-4", "input": 30, "output": 60},
        {"provider": "openai", "model": "gpt-3.5-turbo", "input": 0.5, "output": 1.5},
        {"provider": "openai", "model": "o1", "input": 15, "output": 60, "cache_read": 7.5},
        {"provider": "openai", "model": "o1-preview", "input": 15, "output": 60, "cache_read": 7.5},
        {"provider": "openai", "model": "o1-mini", "input": 3, "output": 12, "cache_read": 1.5},
        {"provider": "openai", "model": "o3", "input": 2, "output": 8, "cache_read": 0.5},
        {"provider": "openai", "model": "o3-mini", "input": 1.1, "output": 4.4, "cache_read": 0.55},
        {"provider": "openai", "model": "o4-mini", "input": 1.1, "output": 4.4, "cache_read": 0.275},
        {"provider": "openai", "model": "text-embedding-3-small", "input": 0.02, "output": 0},
        {"provider": "openai", "model": "text-embedding-3-large", "input": 0.13, "output": 0},
        {"provider": "openai", "model": "text-embedding-ada-002", "input": 0.1, "output": 0},
        {"provider": "anthropic", "model": "claude-sonnet-4-5", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        {"provider": "anthropic", "model": "claude-haiku-4-5", "input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25},
        {"provider": "anthropic", "model": "claude-opus-4-1", "input": 15, "output": 75, "cache_read": 1.5, "cache_write": 18.75},
        {"provider": "anthropic", "model": "claude-opus-4", "input": 15, "output": 75, "cache_read": 1.5, "cache_write": 18.75},
        {"provider": "anthropic", "model": "claude-sonnet-4", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        {"provider": "anthropic", "model": "claude-3-7-sonnet", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        {"provider": "anthropic", "model": "claude-3-5-sonnet", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        {"provider": "anthropic", "model": "claude-3-5-haiku", "input": 0.8, "output": 4, "cache_read": 0.08, "cache_write": 1},
        {"provider": "anthropic", "model": "claude-3-opus", "input": 15, "output": 75, "cache_read": 1.5, "cache_write": 18.75},
        {"provider": "anthropic", "model": "claude-3-sonnet", "input": 3, "output": 15},
        {"provider": "anthropic", "model": "claude-3-haiku", "input": 0.25, "output": 1.25, "cache_read": 0.03, "cache_write": 0.3},
        {"provider": "google", "model": "gemini-2.5-pro", "input": 1.25, "output": 10, "cache_read": 0.125},
        {"provider": "google", "model": "gemini-2.5-flash", "input": 0.3, "output": 2.5, "cache_read": 0.03, "audio_input": 1},
        {"provider": "google", "model": "gemini-2.5-flash-lite", "input": 0.1, "output": 0.4, "cache_read": 0.01, "audio_input": 0.3},
        {"provider": "google", "model": "gemini-2.0-flash", "input": 0.1, "output": 0.4, "cache_read": 0.025, "audio_input": 0.7},
        {"provider": "google", "model": "gemini-1.5-flash", "input": 0.075, "output": 0.3},
        {"provider": "google", "model": "gemini-1.5-pro", "input": 1.25, "output": 5},
        {"provider": "google", "model": "gemini-1.0-pro", "input": 0.5, "output": 1.5},
        {"provider": "cohere", "model": "command-r-plus", "input": 2.5, "output": 10},
        {"provider": "cohere", "model": "command-r", "input": 0.15, "output": 0.6},
        {"provider": "huggingface", "model": "Llama-3.3-70B", "input": 0.65, "output": 0.65},
        {"provider": "huggingface", "model": "Qwen2.5-72B", "input": 0.65, "output": 0.65},
        {"provider": "huggingface", "model": "Llama-3.1-8B", "input": 0.1, "output": 0.1},
        {"provider": "huggingface", "model": "Qwen2.5-7B", "input": 0.1, "output": 0.1},
        {"provider": "huggingface", "model": "Mistral-7B", "input": 0.1, "output": 0.1},
        {"provider": "huggingface", "model": "gemma-2-9b", "input": 0.1, "output": 0.1},
        {"provider": "huggingface", "model": "zephyr-7b", "input": 0.1, "output": 0.1},
        {"provider": "huggingface", "model": "Mixtral-8x7B", "input": 0.27, "output": 0.27}
    ]') AS p);
END
$$;
COMMENT ON FUNCTION @extschema@.starter_model_prices IS
    'public list prices in USD as of 2025-12-01, as load_model_prices() takes them; replace them by your own';
