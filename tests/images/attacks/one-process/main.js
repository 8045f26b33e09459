const ended = require('child_process').spawnSync(process.execPath, ['-e', '0']);
console.log(ended.error ? 'refused' : 'started');
