import { writeFileSync } from 'node:fs';
import { referenceText } from './reference.ts';
import { openApiText } from './text.ts';

// Writes the committed document and the reference made of it: node packages/daemon/src/openapi/write.ts
const text = await openApiText();
writeFileSync(new URL('../../openapi.json', import.meta.url), text);
writeFileSync(new URL('../../../../docs/api.md', import.meta.url), referenceText(text));
