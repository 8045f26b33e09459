const fs = require('fs');
for (const change of [
  () => fs.writeFileSync(__filename, 'console.log("changed")'), () => fs.unlinkSync(__filename),
  () => fs.writeFileSync('/program/new', ''), () => fs.chmodSync(__filename, 0o777),
]) {
  try { change(); console.log('changed'); } catch (error) { }
}
console.log('unchanged');
