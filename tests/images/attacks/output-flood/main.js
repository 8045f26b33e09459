const fs = require('fs');
for (;;) fs.writeSync(1, 'flood\n'.repeat(1000));
