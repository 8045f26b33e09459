const fs = require('fs');
try {
  for (let i = 0; i < 1000; i++) fs.writeFileSync('f' + i, Buffer.alloc(6000000));
  console.log('there was room for 6 GB');
} catch (error) {
  console.log('full');
}
