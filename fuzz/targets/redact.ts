import {createRedactor, type Redactor} from '../../src/lib/core/redaction/redact.ts'
import {formsOf} from '../../src/lib/core/redaction/secret-forms.ts'
import type {Random} from '../random.ts'
import {check, type Target} from '../target.ts'

/** Texts with secrets in all their forms, redacted piece by piece as they are uploaded: nothing may be cut in two. */
export const redact: Target = {
  name: 'redact',
  share: 40,
  open: () => ({
    run(random) {
      const secrets = Array.from({length: 1 + random.below(3)}, () => randomText(random, 6 + random.below(20)))
      const forms = secrets.flatMap((secret) => formsOf(secret))
      const redactor = createRedactor(secrets)
      const part = () => (random.chance(0.3) ? random.pick(forms) : randomText(random, 1 + random.below(30)))
      const text = Array.from({length: 20}, part).join('')
      const size = Math.max(...forms.map((form) => form.length)) + 1 + random.below(100)
      check(
        inPieces(text, size, redactor) === redactor(text),
        `in pieces of ${size}: ${JSON.stringify({secrets, text})}`,
      )
      return 'accepted'
    },
  }),
}

const letters = [...'abcde-_:/"\\ \n0123é😀']
const randomText = (random: Random, length: number) => Array.from({length}, () => random.pick(letters)).join('')

function inPieces(text: string, size: number, redactor: Redactor): string {
  let shown = ''
  let from = 0
  while (from + size < text.length) {
    const cut = redactor.safeLength(text.slice(from, from + size))
    shown += redactor(text.slice(from, from + cut))
    from += cut
  }

  return shown + redactor(text.slice(from))
}
