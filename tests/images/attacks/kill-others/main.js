for (const pid of [1, process.ppid, 2, 3, 4]) {
  if (pid === process.pid) continue;
  for (const signal of ['SIGKILL', 'SIGSTOP']) {
    try { process.kill(pid, signal); } catch (error) { }
  }
}
console.log('alive');
