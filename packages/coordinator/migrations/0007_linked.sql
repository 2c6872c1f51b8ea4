-- The transaction that last gave it dependents while it was under way. A statement that began before that transaction
-- ended, and then ends the subtask, does not know these dependents: it has to begin anew.
alter table subtask_states add column linked_xid xid8;
