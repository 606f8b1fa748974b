import {
  type Answer,
  type Api,
  type Fields,
  listOf,
  type Step,
  stepAfter,
  theEdit,
  tokens,
} from '../scripted-endpoint.ts'

/** The API of Gemini: `generateContent` and `streamGenerateContent`. */
export const gemini: Api = ({path, body, file}) => {
  if (!path.includes('enerateContent')) return {json: {totalTokens: tokens.input}}
  const isStream = path.includes(':streamGenerateContent')
  const names = listOf(body['tools'])
    .flatMap(({functionDeclarations}) => listOf(functionDeclarations))
    .map(({name}) => name)
  if (!names.includes('replace')) return answer(isStream, {text: sideAnswer(body)})
  const results = listOf(body['contents'])
    .flatMap(({parts}) => listOf(parts))
    .filter((part) => 'functionResponse' in part).length
  const step = stepAfter(results, ['edit'])
  return {step, ...answer(isStream, partOf(step, file))}
}

/** The client asks a small model to route the request or to name the next speaker, with a schema for the answer. */
const sideAnswer = (body: Fields) =>
  JSON.stringify(body).includes('next_speaker')
    ? JSON.stringify({reasoning: 'done', next_speaker: 'user'})
    : JSON.stringify({reasoning: 'simple', model_choice: 'flash'})

function partOf(step: Step, file: string): Fields {
  if (step === 'text') return {text: theEdit.say}
  const args = {
    file_path: file,
    instruction: 'Edit the greeting',
    old_string: theEdit.old,
    new_string: theEdit.new,
  }
  return {functionCall: {name: 'replace', args}}
}

function answer(isStream: boolean, part: Fields): Answer {
  const json = {
    candidates: [{content: {role: 'model', parts: [part]}, finishReason: 'STOP', index: 0}],
    usageMetadata: {
      promptTokenCount: tokens.input,
      candidatesTokenCount: tokens.output,
      totalTokenCount: tokens.input + tokens.output,
    },
    modelVersion: 'scripted',
  }
  return isStream ? {events: [{data: json}]} : {json}
}
