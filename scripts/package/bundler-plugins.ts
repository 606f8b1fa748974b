import type {Plugin} from 'esbuild'
import {readFileSync} from 'node:fs'
import {dirname, extname, relative} from 'node:path'

/** What stands for the folder `dist` in the output, until the place of the file that uses it is known. */
export const distMark = '__A2A_DIST__'

/** Path of a source in the package, without its suffix. */
export const placeOf = (source: string): string => source.replace(/^src\//, 'dist/').replace(/\.tsx?$/, '')

const read = (path: string) => readFileSync(path, 'utf8')

/**
 * Gives a file that reads others beside itself the URL that it has without bundling. Lets the bundler see the modules
 * that are required only when needed.
 */
export const ownFiles = (root: string): Plugin => ({
  name: 'own-files',
  setup({onLoad}) {
    onLoad({filter: /\/src\/lib\/.*\.tsx?$/}, ({path}) => {
      const text = read(path)
      if (!text.includes('import.meta.url')) return undefined
      const place = `${placeOf(relative(root, path))}.js`.replace(/^dist/, distMark)
      const contents = text
        .replace('const require = createRequire(import.meta.url)\n', '')
        .replaceAll('import.meta.url', `new URL('${place}', import.meta.url).href`)
      return {contents, loader: extname(path) === '.tsx' ? 'tsx' : 'ts', resolveDir: dirname(path)}
    })
  },
})

/** The development build of React is many times slower and much larger. */
export const productionReact: Plugin = {
  name: 'production-react',
  setup({onLoad}) {
    onLoad({filter: /\/node_modules\/(react|react-reconciler|scheduler)\/[\w-]+\.js$/}, ({path}) => ({
      contents: read(path).replaceAll('process.env.NODE_ENV', '"production"'),
      loader: 'js',
      resolveDir: dirname(path),
    }))
  },
}

/** Leaves out the validator of `conf`, 50 kB of the archive: `conf` uses it only for a schema, and we give it none. */
export const withoutSchemas: Plugin = {
  name: 'without-schemas',
  setup({onResolve, onLoad}) {
    const namespace = 'without-schemas'
    onResolve({filter: /^ajv(?:-formats)?(?:\/|$)/}, ({path}) => ({path, namespace}))
    onLoad({filter: /.*/, namespace}, () => ({
      contents: `export class Ajv2020 { constructor() { throw new Error('The package has no validator of schemas') } }\nexport default {}`,
    }))
  },
}

/**
 * Lets oclif load other packages when it uses them: most commands never match a glob or compare versions, and loading
 * all takes 10 ms of each start.
 */
export const lazyOclif: Plugin = {
  name: 'lazy-oclif',
  setup({onLoad}) {
    onLoad({filter: /\/node_modules\/@oclif\/core\/lib\/.*\.js$/}, ({path}) => ({
      contents: requireLazily(read(path)),
      loader: 'js',
      resolveDir: dirname(path),
    }))
  },
}

function requireLazily(text: string): string {
  const imports = [...text.matchAll(/^const (\w+_1) = ((?:__importDefault\()?require\("(?![.]|node:)[^"]+"\)\)?);$/gm)]
  const lazy = imports.reduce(
    (result, [line, name, load]) =>
      result
        .replace(line, '')
        .replaceAll(new RegExp(`\\b${name}\\b`, 'g'), `${name}()`)
        .replace('"use strict";', `"use strict";\nconst ${name} = () => ${load};`),
    text,
  )
  return lazy
    .replace("await import('wsl-utils')", "require('wsl-utils')") // in the same chunk: a file less to open
    .replace('\ncheckNodeVersion();', '') // bin/run.js has checked it
    .replace('a.id.localeCompare(b.id)', 'a.id < b.id ? -1 : 1') // ids of commands; the first collation takes 6 ms
}

const namespace = 'named-exports'

/** The entry with all of oclif, which the program loads. */
export const oclifEntry = `${namespace}:@oclif/core`

/**
 * Node finds the names that a package in CommonJS exports, and offers them to `import()`. The bundler offers only the
 * default export, so a module with these names is put between.
 */
export const namedExports = (root: string): Plugin => ({
  name: namespace,
  setup({onResolve, onLoad}) {
    onResolve({filter: new RegExp(`^${namespace}:`)}, ({path}) => ({path: path.slice(namespace.length + 1), namespace}))
    onResolve({filter: /^[@a-z]/, namespace: 'file'}, async ({kind, path}) => {
      if (kind !== 'dynamic-import' || path.startsWith('node:')) return undefined
      const isCommonJs = 'module.exports' in ((await import(path)) as object)
      return isCommonJs ? {path, namespace} : undefined
    })
    onLoad({filter: /^/, namespace}, async ({path}) => {
      const names = Object.keys((await import(path)) as object).filter((name) => /^(?!__)\w+$/.test(name))
      return {contents: `export {${names.join(', ')}} from '${path}'`, loader: 'js', resolveDir: root}
    })
  },
})
