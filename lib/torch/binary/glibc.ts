/** Returns the version of the C library that Node runs on, such as "2.36"; undefined where it is another than glibc. */
export function runningGlibc(): string | undefined {
  const report = process.report.getReport() as unknown as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime;
}
