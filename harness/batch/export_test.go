package batch

// Kill lets go of the folder as when the process that runs the batch is killed.
func (b *Batch) Kill() error { return b.lock.Close() }
