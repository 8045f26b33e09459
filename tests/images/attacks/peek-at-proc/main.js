const fs = require('fs');
const files = ['/proc/1/mem', '/proc/1/environ', '/proc/1/maps', '/proc/kcore', '/proc/sys/kernel/core_pattern'];
for (const file of files) {
  try { fs.openSync(file, 'r'); console.log(file); } catch (error) { }
}
const others = fs.readdirSync('/proc').filter(name => /^\d+$/.test(name) && name !== '1' && Number(name) !== process.pid);
console.log(others.length ? others.join() : 'nothing');
