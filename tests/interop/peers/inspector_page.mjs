// The page of the MCP Inspector in a browser, in which a user connects to a server and calls a tool.
//
// Run with the Node.js of the tests: `inspector_page.mjs PLAYWRIGHT CHROMIUM URL TOOL`, where PLAYWRIGHT is the folder
// of `playwright-core`, CHROMIUM the browser, URL that of the page and TOOL one that adds `a` and `b`; prints a JSON
// object of the tools that the page lists and of the text that it shows for the call.
import { createRequire } from 'node:module';

const [playwright, executablePath, url, tool] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);

// The page asks for fonts of another machine, which it does without.
const args = ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage();
await page.goto(url);
await page.getByRole('switch').dispatchEvent('click'); // its label is what is seen of it
await page.getByText('Tools', { exact: true }).click();

const listed = page.getByRole('button', { name: /^\w*(add|ask_name|count|echo)$/ });
await listed.first().waitFor();
const tools = await listed.allInnerTexts();

await page.getByRole('button', { name: tool, exact: true }).click();
await page.getByLabel(/^a\b/).fill('2');
await page.getByLabel(/^b\b/).fill('3');
await page.getByRole('button', { name: 'Execute Tool' }).click();
const text = await page.getByText(/^5$/).first().innerText();
await browser.close();
console.log(JSON.stringify({ tools, calls: { [tool]: text } }));
