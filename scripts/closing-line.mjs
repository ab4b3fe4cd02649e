// A vitest reporter: every skipped test with its reason, and one plain closing line that counts in any CI.
export default class ClosingLine {
  onTestRunEnd(modules, errors) {
    const count = { passed: 0, failed: errors.length + Number(process.env.IOMMUKIT_FAILED_CHECKS ?? 0), skipped: 0 };
    const skips = [];
    for (const module of modules) {
      const tests = [...module.children.allTests()];
      if (module.state() === 'failed' && !tests.some((test) => test.result().state === 'failed')) count.failed++;
      for (const test of tests) {
        const { state, note } = test.result();
        if (state in count) count[state]++;
        if (state === 'skipped') skips.push(`skipped: ${test.fullName}: ${note ?? 'no reason given'}`);
      }
    }
    for (const line of skips) console.log(line);
    console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }
}
