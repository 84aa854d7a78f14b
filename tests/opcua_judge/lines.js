// Requests and answers as JSON, one a line: {"do": NAME, ...} in, {"answer": ...} or {"error": SENTENCE} out, in order.
import { createInterface } from "node:readline";

// The library tells what it does on standard output, which is for answers only.
console.log = console.info = console.warn = console.error;

export async function serve(table) {
    for await (const line of createInterface({ input: process.stdin })) {
        const request = JSON.parse(line);
        let answer;
        try {
            answer = { answer: (await table[request.do](request)) ?? null };
        } catch (error) {
            answer = { error: String(error?.message ?? error) };
        }
        process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
}
