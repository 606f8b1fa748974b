import {cpSync} from 'node:fs'
import {join} from 'node:path'

/** What a person reads, with the paths of the repository, so that links work. */
const documents = [...['README.md', 'CHANGELOG.md', 'LICENSE'], ...['config.example.json', 'docs', 'deploy']]

/** Copies the documents. Returns what was copied. */
export function copyDocuments(root: string, target: string): string[] {
  for (const name of documents) cpSync(join(root, name), join(target, name), {recursive: true})
  return documents
}
