import {build, transformSync, type BuildOptions, type Metafile, type OutputFile} from 'esbuild'
import {globSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, extname, join, relative} from 'node:path'
import {
  distMark,
  lazyOclif,
  namedExports,
  oclifEntry,
  ownFiles,
  placeOf,
  productionReact,
  withoutSchemas,
} from './bundler-plugins.ts'

/** Commands of oclif's plugins. In the package they are its own: oclif finds plugins only as folders of node_modules. */
const pluginCommands = {'dist/commands/help': '@oclif/plugin-help/lib/commands/help.js'}

/** Besides commands, hooks and help: what is started by its path. */
const otherEntries = ['src/help.ts', 'src/lib/sessions/session-thread.ts']

function entryPoints(root: string): {in: string; out: string}[] {
  const sources = [...globSync('src/{commands,hooks}/**/*.ts', {cwd: root}), ...otherEntries]
  return [
    {in: oclifEntry, out: 'dist/oclif'},
    ...sources.map((source) => ({in: join(root, source), out: placeOf(source)})),
    ...Object.entries(pluginCommands).map(([out, path]) => ({in: join(root, 'node_modules', path), out})),
  ]
}

/**
 * Bundles the program and all packages that it uses into a folder: a file for each command, and chunks for what several
 * use. Resolves with what is inside.
 */
export async function bundle(root: string, target: string): Promise<Metafile> {
  const common = {
    absWorkingDir: root,
    outdir: target,
    bundle: true,
    platform: 'node',
    target: 'node22',
    minify: true,
    keepNames: true, // names of errors are output, and the stack of a bug must be readable
    define: {esbuildDetection: 'true'}, // undici then leaves out its second, experimental parser
    charset: 'utf8',
    legalComments: 'none', // all licences are in THIRD-PARTY-LICENSES.txt
    metafile: true,
    write: false,
    logLevel: 'warning',
  } as const satisfies BuildOptions
  const {outputFiles, metafile} = await build({
    ...common,
    entryPoints: entryPoints(root),
    chunkNames: 'dist/chunks/[name]-[hash]',
    splitting: true,
    format: 'esm',
    external: ['react-devtools-core', 'typescript'], // Ink and oclif load these only while a program is developed
    // Packages in CommonJS call `require` for the modules of Node.
    banner: {js: "import {createRequire as a2aRequire} from 'node:module';const require=a2aRequire(import.meta.url);"},
    plugins: [ownFiles(root), productionReact, withoutSchemas, lazyOclif, namedExports(root)],
  })
  // In CommonJS, because Node starts its loader of modules only when it is needed: 4 ms of `--version`.
  const program = await build({
    ...common,
    entryPoints: [{in: join(root, 'bin/run.js'), out: 'bin/run'}],
    format: 'cjs',
    alias: {'@oclif/core': '../dist/oclif.js'},
    external: ['../dist/oclif.js'],
    define: {'import.meta.url': 'programUrl'},
    banner: {js: "const programUrl=require('node:url').pathToFileURL(__filename).href;"},
  })
  for (const file of [...outputFiles, ...program.outputFiles]) write(file, target)
  writeFileSync(join(target, 'bin/package.json'), '{"type": "commonjs"}\n')
  copyAssets(root, target)
  return metafile
}

function write({path, text}: OutputFile, target: string): void {
  const dist = relative(dirname(path), join(target, 'dist')) || '.'
  mkdirSync(dirname(path), {recursive: true})
  const isProgram = path.endsWith('/bin/run.js')
  writeFileSync(path, text.replaceAll(distMark, dist), {mode: isProgram ? 0o755 : 0o644})
}

/** Copies the files of src that are not compiled to the places where the program reads them, those of the page minified. */
function copyAssets(root: string, target: string): void {
  for (const source of globSync('src/**/*.*', {cwd: root})) {
    if (/^\.tsx?$/.test(extname(source))) continue
    const to = join(target, source.replace(/^src/, 'dist'))
    mkdirSync(dirname(to), {recursive: true})
    const text = readFileSync(join(root, source), 'utf8')
    const loader = source.includes('/views/assets/') ? (extname(source) === '.css' ? 'css' : 'js') : undefined
    writeFileSync(to, loader ? transformSync(text, {loader, minify: true, charset: 'utf8'}).code : text)
  }
}
