/**
 * Variables that make OpenCode use only the scripted model on this loopback port. The model is `fake/x`.
 * @param {number} port
 * @returns {Record<string, string>}
 */
export function openCodeEnvironment(port) {
  const limit = {context: 2_000_000, output: 8192}
  const options = {baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'scripted'}
  const models = {x: {name: 'Scripted', limit, cost: {input: 1, output: 2}}, small: {name: 'Small', limit}}
  const provider = {fake: {npm: '@ai-sdk/openai-compatible', name: 'Scripted', options, models}}
  const config = {
    autoupdate: false,
    share: 'disabled',
    model: 'fake/x',
    small_model: 'fake/small',
    enabled_providers: ['fake'],
    provider,
  }
  return {
    OPENCODE_CONFIG_CONTENT: JSON.stringify(config),
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    npm_config_offline: 'true',
  }
}
