"""Several seeds of one recipe, trained at once in one process.

1. Every replica is an ordinary run: its own seed, `TrainingState`, directory, checkpoints and files.
2. Their weights lie side by side (`stack`): one tensor per name, shape (k, ...). A replica's network, optimizer state
   and average of weights are views of it, so that whatever reads or writes one replica works as always.
3. Forward and backward go through all replicas at once (`passes`): by ``grouped`` convolutions and batched matrix
   products, or network after network, ``side_by_side``, each on a CUDA stream of its own. Dropout multiplies by noise
   that was drawn for each replica from its own seed (`noise`).
4. One optimizer steps the stacked tensors (`stepping`), since it works element by element; Muon and plateau schedules
   step every replica by its own optimizer.
5. A replica that diverges or stops early leaves; the others are stacked again and go on (`loop`).
"""
