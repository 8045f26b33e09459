const fs = require('fs');
for (;;) fs.writeSync(2, 'flood\n'.repeat(1000));
