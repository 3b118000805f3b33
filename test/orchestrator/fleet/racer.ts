/** A process of its own that raises one node's epoch `count` times, against others that do the same. */
import { dataPaths } from '../../../base/paths.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';

const [root, id = '', count = '0'] = process.argv.slice(2);
const { redis, close } = await connect(dataPaths(root), { url: '' });
const { nodes } = new Fleet(redis);
const won: number[] = [];
for (let i = 0; i < Number(count); i += 1) {
  const done = await nodes.update(id, (record) => {
    if (record === null) throw new Error('no record');
    const step = { at: Date.now(), actor: `racer:${process.pid}`, action: 'note', reason: String(i) };
    return { outcome: take(record, { ...step, to: record.state }) };
  });
  if (done.kind === 'changed') won.push(done.record.epoch);
}
console.log(JSON.stringify(won));
await close();
