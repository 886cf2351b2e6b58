// Exits 1 when package-lock.json leaves out something its packages ask for. npm writes such a file without a word when an optional
// package of another platform cannot be found in the registry, and `npm ci` then refuses it on every fresh machine.
import { readFileSync } from 'node:fs';

const packages = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
const present = new Set(Object.keys(packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 13)));
const missing = Object.entries(packages).flatMap(([path, entry]) =>
  Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
    .filter((name) => !present.has(name))
    .map((name) => `${path || 'the project'} needs ${name}`),
);
for (const line of missing) console.log(line);
process.exitCode = missing.length === 0 ? 0 : 1;
