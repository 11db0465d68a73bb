// The TypeScript client, which lists the tools of a server and calls each.
//
// Run with the Node.js of the tests: `gateway_client.mjs PACKAGE MODE TARGET`, where PACKAGE is the folder of the
// package and TARGET a URL or a program of a server on stdio and its arguments, with a JSON object of tools and
// their arguments on standard input; prints a JSON object of the tools and of the texts of each call.
import { pathToFileURL } from 'node:url';
import { json } from 'node:stream/consumers';

const [folder, mode, ...target] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(`${folder}/dist/index.mjs`));
const { StdioClientTransport } = await import(pathToFileURL(`${folder}/dist/stdio.mjs`));

const transport = target[0].startsWith('http://')
  ? new StreamableHTTPClientTransport(new URL(target[0]))
  : new StdioClientTransport({ command: target[0], args: target.slice(1) });
const client = new Client({ name: 'host', version: '1' }, { versionNegotiation: { mode } });
await client.connect(transport);

const { tools } = await client.listTools();
const calls = {};
for (const [name, given] of Object.entries(await json(process.stdin))) {
  const { content } = await client.callTool({ name, arguments: given });
  calls[name] = content.map((block) => block.text ?? block.type).join(' ');
}
await client.close();
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), calls }));
