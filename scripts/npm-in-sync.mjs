// Exits 0 when node_modules holds what package-lock.json names, 1 when not. Runs on any Node from 20 on, before node_modules exists.
import { existsSync, readFileSync } from 'node:fs';

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    // Missing or broken: nothing is installed, and npm ci will say what is wrong with a broken lock file.
    return {};
  }
}

const wanted = packagesOf('package-lock.json');
// npm's own record of what it installed.
const installed = packagesOf('node_modules/.package-lock.json');
const missing = Object.entries(wanted).filter(
  ([path, entry]) =>
    path.startsWith('node_modules/') &&
    !entry.optional &&
    installed[path]?.version !== entry.version &&
    !(entry.link && existsSync(path)),
);
process.exitCode = Object.keys(wanted).length > 0 && missing.length === 0 ? 0 : 1;
