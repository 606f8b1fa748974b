import {globSync, readFileSync} from 'node:fs'
import {basename, join} from 'node:path'
import type {BundledPackage} from './bundled-packages.ts'

const licenseFile = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/i

const mit = (copyright: string) => `MIT License

${copyright}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`

/** Licences of what a package contains, or of itself, without a file for them. */
const texts: Record<string, string> = {
  undici: `Contains llhttp:\n\n${mit('Copyright Fedor Indutny, 2018.')}`,
  'yoga-layout': mit('Copyright (c) Meta Platforms, Inc. and affiliates.'),
}

/** The licence texts of the packages inside the bundle. Throws if a package has none: then it cannot be shipped. */
export function thirdPartyLicenses(root: string, packages: readonly BundledPackage[]): string {
  const sections = packages.map(({name, version, license, folder}) => {
    const text = licenseText(name, join(root, folder))
    if (text === undefined) throw new Error(`${folder} has no licence text, so it cannot be shipped`)
    return `${'='.repeat(80)}\n${name} ${version} (${license})\n\n${text}\n`
  })
  return `The program contains code of these packages. Each is under the licence below its name.\n\n${sections.join('\n')}`
}

function licenseText(name: string, folder: string): string | undefined {
  const files = globSync('**/*', {cwd: folder, exclude: ['**/node_modules']}).filter((path) =>
    licenseFile.test(basename(path)),
  )
  const found = files.sort().map((path) => readFileSync(join(folder, path), 'utf8').replaceAll('\r', '').trim())
  const all = [...found, ...(texts[name] === undefined ? [] : [texts[name]])]
  return all.length > 0 ? all.join('\n\n') : undefined
}
