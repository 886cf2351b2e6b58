import { SylphError, noSpace } from '@sylph/model';

/** Why a capture failed, in the product's terms: `full` when the file system has no room. */
export function captureFailed(message: string, full: boolean, cause?: unknown): SylphError {
  return full
    ? noSpace(`the capture was not done, nothing changed: ${message}`, cause)
    : new SylphError('vm_failed', `capture failed: ${message}`, { cause });
}
