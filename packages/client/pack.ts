// Makes a package that installs anywhere: JavaScript and types, with the types of the model inside. Usage: node packages/client/pack.ts [DIRECTORY]; prints the path of the archive. In the workspace `exports` lead to the
// sources, and npm can give an archive other ones in no way but by a package.json of its own.
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, '../..');

/** The parts of a package.json that are looked at. */
interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
  dependencies: Record<string, string>;
}

const destination = path.resolve(process.argv[2] ?? path.join(root, '.cache/packages'));
await mkdir(destination, { recursive: true });
const stage = await mkdtemp(path.join(destination, 'stage-'));
try {
  const dist = path.join(stage, 'dist');
  await run(path.join(root, 'node_modules/.bin/tsc'), ['-p', path.join(here, 'tsconfig.build.json'), '--outDir', dist]);
  await keepTypesOfModel(dist);
  await writeFile(path.join(stage, 'package.json'), `${JSON.stringify(await manifest(), undefined, 2)}\n`);
  await copyFile(path.join(here, 'README.md'), path.join(stage, 'README.md'));
  await copyFile(path.join(root, 'LICENSE'), path.join(stage, 'LICENSE'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', destination], { cwd: stage });
  process.stdout.write(`${path.join(destination, archiveName(JSON.parse(stdout)))}\n`);
} finally {
  await rm(stage, { recursive: true });
}

async function manifest(): Promise<object> {
  const own = await read(path.join(here, 'package.json'));
  const model = await read(path.join(here, '../model/package.json'));
  const entry = (name: string): object => ({
    types: `./dist/client/src/${name}.d.ts`,
    default: `./dist/client/src/${name}.js`,
  });
  const { name, version, description, license } = own;
  return {
    name,
    version,
    description,
    license,
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20' },
    exports: { '.': { browser: entry('browser'), node: entry('index'), default: entry('browser') } },
    // What the model needs is needed by its types alone, and loaded by nothing.
    dependencies: { ...own.dependencies, ...model.dependencies },
  };
}

async function read(file: string): Promise<Manifest> {
  return JSON.parse(await readFile(file, 'utf8')) as Manifest;
}

/** The client uses types of the model and nothing that runs; declarations are to name each other as an installed package has them. */
async function keepTypesOfModel(dist: string): Promise<void> {
  const model = path.join(dist, 'model/src');
  for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    if (!file.endsWith('.d.ts')) {
      if (file.startsWith(model)) await rm(file);
      else if (/from '@sylph\/|import\('@sylph\//.test(await readFile(file, 'utf8')))
        throw new Error(`${file} loads the model, of which only types are packed`);
      continue;
    }
    const toModel = path.relative(path.dirname(file), path.join(model, 'index.js'));
    const text = (await readFile(file, 'utf8'))
      .replaceAll("'@sylph/model'", `'${toModel.startsWith('.') ? toModel : `./${toModel}`}'`)
      .replaceAll(/(from |import\()'(\.[^']*)\.ts'/g, "$1'$2.js'");
    await writeFile(file, text);
  }
}

/** npm 12 names the archive under the package's name, those before in a list. */
function archiveName(told: unknown): string {
  const [first] = Object.values(told as Record<string, { filename: string }>);
  if (first === undefined) throw new Error('npm did not say what it packed');
  return first.filename;
}
