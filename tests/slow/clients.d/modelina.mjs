// Writes the TypeScript models of an AsyncAPI document. Usage: modelina.mjs <document> <file>

import { readFileSync, writeFileSync } from 'node:fs';

import { TypeScriptGenerator } from '@asyncapi/modelina';

const [document, file] = process.argv.slice(2);
const generator = new TypeScriptGenerator({ modelType: 'interface' });
const models = await generator.generate(JSON.parse(readFileSync(document, 'utf8')));
const exported = models.map(({ result }) => result.replace(/^(?=(interface|enum|type|class) )/gm, 'export '));
writeFileSync(file, `${exported.map((text) => text.replaceAll('export export', 'export')).join('\n\n')}\n`);
