-- What a subtask spawned goes with it when it runs again.
create index subtasks_spawned on subtasks (spawned_by) where spawned_by is not null;
