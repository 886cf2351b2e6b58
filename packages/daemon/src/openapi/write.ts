import { writeFileSync } from 'node:fs';
import { openApiText } from './text.ts';

// Writes the committed document: node packages/daemon/src/openapi/write.ts
writeFileSync(new URL('../../openapi.json', import.meta.url), await openApiText());
