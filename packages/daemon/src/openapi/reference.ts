interface Schema {
  $ref?: string;
  const?: unknown;
  enum?: unknown[];
  type?: string | string[];
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: unknown;
  description?: string;
}

interface Content {
  content?: Record<string, { schema?: Schema }>;
}

interface Operation {
  tags?: string[];
  summary: string;
  description?: string;
  parameters?: { in: string; name: string; schema?: Schema; description?: string }[];
  requestBody?: Content;
  responses?: Record<string, Content>;
}

/** What the reference takes from an OpenAPI document. */
interface Document {
  info: { description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** The reference for people, as Markdown, from the OpenAPI document's text: every route by its tag, then every shape. */
export function referenceText(openApi: string): string {
  const document = JSON.parse(openApi) as Document;
  const tags = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'server';
      tags.set(tag, [...(tags.get(tag) ?? []), routeText(method.toUpperCase(), path, operation)]);
    }
  }
  const parts = [
    `# API reference\n\nWritten from the schemas; the same as [openapi.json](../packages/daemon/openapi.json), which every daemon serves at \`/openapi.json\`.\n\n${document.info.description}\n`,
    ...[...tags].map(([tag, routes]) => `## ${tag}\n\n${routes.join('\n')}`),
    '## Shapes\n',
    ...Object.entries(document.components.schemas)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, schema]) => shapeText(name, schema)),
  ];
  return parts.join('\n');
}

function routeText(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).filter((each) => each.in === 'query');
  const body = contentOf(operation.requestBody);
  const answers = Object.entries(operation.responses ?? {})
    .filter(([status]) => !/^[45]XX$/.test(status))
    .map(([status, answer]) => {
      const content = contentOf(answer);
      return `${status}${content === '' ? '' : ` ${content}`}`;
    });
  return [
    `### ${method} ${path}\n`,
    `${operation.summary}.${operation.description === undefined ? '' : ` ${operation.description}`}\n`,
    ...(parameters.length === 0
      ? []
      : [
          tableText(
            ['query', 'type', ''],
            parameters.map((each) => [
              `\`${each.name}\``,
              typeText(each.schema),
              each.description ?? each.schema?.description ?? '',
            ]),
          ),
        ]),
    ...(body === '' ? [] : [`Body: ${body}\n`]),
    `Answer: ${answers.join('; ')}\n`,
  ].join('\n');
}

function shapeText(name: string, schema: Schema): string {
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required);
  if (properties.length === 0) return `### ${name}\n\n${typeText(schema)}\n`;
  const rows = properties.map(([field, each]) => [
    `\`${field}\`${required.has(field) ? '' : ' (optional)'}`,
    typeText(each),
    each.description ?? '',
  ]);
  return `### ${name}\n\n${tableText(['field', 'type', ''], rows)}`;
}

/** Types of a body or an answer, each with its media type. */
function contentOf(node: Content | undefined): string {
  return Object.entries(node?.content ?? {})
    .map(([media, { schema }]) => `\`${media}\` ${typeText(schema)}`)
    .join(' or ');
}

/** A schema in a few words: references by their name, everything else by its type. */
function typeText(schema: Schema | undefined): string {
  if (schema === undefined) return 'any';
  const { $ref: reference, const: constant, enum: values, items } = schema;
  if (reference !== undefined) {
    const name = reference.split('/').at(-1) ?? '';
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (constant !== undefined) return `\`${JSON.stringify(constant)}\``;
  if (values !== undefined) return values.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  const choices = (schema.oneOf ?? schema.anyOf ?? []).map(typeText);
  if (choices.length > 0) return choices.join(' or ');
  if (items !== undefined) return `list of ${typeText(items)}`;
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length > 0) return `{${properties.map(([field, each]) => `${field}: ${typeText(each)}`).join(', ')}}`;
  if (schema.type === 'object' && schema.additionalProperties !== undefined) return 'map of texts';
  return [schema.type ?? 'text'].flat().join(' or ');
}

function tableText(header: string[], rows: string[][]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const line = (cells: string[]): string => `| ${cells.map(cell).join(' | ')} |\n`;
  return `${line(header)}|${'---|'.repeat(header.length)}\n${rows.map(line).join('')}`;
}
