// Not 2, 3 and so on: these are its own threads.
for (const pid of [1, process.ppid]) {
  for (const signal of ['SIGKILL', 'SIGSTOP']) {
    try { process.kill(pid, signal); } catch (error) { }
  }
}
console.log('alive');
