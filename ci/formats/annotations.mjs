// Reads workflow commands by the rules of GitHub's runner, writes them again with GitHub's own toolkit, and compares: only a
// command that means what it says comes out as it went in. Commands on standard input, their number on standard output.
import { error, notice, warning } from "@actions/core";
import { readFileSync } from "node:fs";

const write = { error, notice, warning };
const keys = { title: "title", file: "file", line: "startLine", endLine: "endLine" };
// The runner's order: the sign of escapes comes last.
const data = (text) => text.replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%25", "%");
const property = (text) =>
    text.replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%25", "%");

function again(line) {
    const end = line.indexOf("::", 2);
    if (!line.startsWith("::") || end < 0) throw new Error(`no command: ${line}`);
    const info = line.slice(2, end);
    const space = info.indexOf(" ");
    const name = space < 0 ? info : info.slice(0, space);
    if (!Object.hasOwn(write, name)) throw new Error(`no annotation: ${line}`);
    const properties = {};
    for (const pair of info.slice(space + 1).split(",")) {
        const [key, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
        if (!Object.hasOwn(keys, key)) throw new Error(`no property of an annotation: ${pair}`);
        properties[keys[key]] = property(value);
    }
    if (properties.title === undefined || properties.title.length > 255) throw new Error(`no title, or a long one: ${line}`);
    // The toolkit writes to standard output.
    let written = "";
    const stdout = process.stdout.write;
    process.stdout.write = (text) => {
        written += text;
        return true;
    };
    try {
        write[name](data(line.slice(end + 2)), properties);
    } finally {
        process.stdout.write = stdout;
    }
    return [name, written.trimEnd()];
}

const counts = { error: 0, warning: 0, notice: 0 };
for (const line of readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
    const [name, written] = again(line);
    if (written !== line) throw new Error(`the toolkit writes\n${written}\nand not\n${line}`);
    counts[name] += 1;
}
for (const [name, count] of Object.entries(counts)) {
    if (count > 10) throw new Error(`${count} annotations of level ${name}: GitHub shows 10`);
}
console.log(`${counts.error} errors, ${counts.warning} warnings, ${counts.notice} notices`);
