/**
 * The playbooks that Baton brings along, for software delivery and for the demo. Each is asked for by name
 * (`"metadata": {"playbook": "release"}`) and by nothing else: words are the rules' business, which understand lists,
 * order, constraints and gates; a playbook that answered to words would swallow them.
 */
import type { Playbook } from '@baton/shared'

const brief = '{{task.title}}'

export const shippedPlaybooks: readonly Playbook[] = [
  {
    name: 'deliver-feature',
    description: 'Develop, then review and document side by side.',
    match: { metadata: { playbook: 'deliver-feature' } },
    subtasks: [
      { name: 'build', title: 'Build it', capability: 'feature-dev', input: { brief, description: '{{task.description}}' } },
      {
        name: 'review',
        title: 'Review what was built',
        capability: 'code-review',
        depends_on: ['build'],
        input: { brief, reviews: ['build'], outputs: '{{build.outputs}}' },
      },
      {
        name: 'document',
        title: 'Document it',
        capability: 'documentation',
        depends_on: ['build'],
        input: { brief, outputs: '{{build.outputs}}' },
      },
    ],
  },
  {
    name: 'hotfix',
    description: 'Fix, review, and deploy once a person approves.',
    match: { metadata: { playbook: 'hotfix' } },
    subtasks: [
      { name: 'fix', title: 'Fix it', capability: 'feature-dev', input: { brief, description: '{{task.description}}' } },
      {
        name: 'review',
        title: 'Review the fix',
        capability: 'code-review',
        depends_on: ['fix'],
        input: { brief, reviews: ['fix'], outputs: '{{fix.outputs}}' },
      },
      {
        name: 'deploy',
        title: 'Deploy the fix',
        capability: 'cicd',
        depends_on: ['review'],
        requires_approval: true,
        input: { brief, fix: '{{fix.outputs}}' },
      },
    ],
  },
  {
    name: 'release',
    description: 'Review what is to be released and write its notes; release once a person approves.',
    match: { metadata: { playbook: 'release' } },
    subtasks: [
      {
        name: 'review',
        title: 'Review what is to be released',
        capability: 'code-review',
        input: { brief, description: '{{task.description}}' },
      },
      {
        name: 'notes',
        title: 'Write the release notes',
        capability: 'documentation',
        input: { brief, description: '{{task.description}}' },
      },
      {
        name: 'release',
        title: 'Release',
        capability: 'cicd',
        depends_on: ['review', 'notes'],
        requires_approval: true,
        input: { brief, notes: '{{notes.outputs}}' },
      },
    ],
  },
  {
    name: 'infrastructure-change',
    description: 'Prepare the change, review it, apply it once a person approves, and bring the runbook up to date.',
    match: { metadata: { playbook: 'infrastructure-change' } },
    subtasks: [
      {
        name: 'prepare',
        title: 'Prepare the change',
        capability: 'infrastructure',
        input: { brief, description: '{{task.description}}', apply: false },
      },
      {
        name: 'review',
        title: 'Review the change',
        capability: 'code-review',
        depends_on: ['prepare'],
        input: { brief, reviews: ['prepare'], outputs: '{{prepare.outputs}}' },
      },
      {
        name: 'apply',
        title: 'Apply the change',
        capability: 'infrastructure',
        depends_on: ['review'],
        requires_approval: true,
        input: { brief, change: '{{prepare.outputs}}', apply: true },
      },
      {
        name: 'runbook',
        title: 'Bring the runbook up to date',
        capability: 'documentation',
        depends_on: ['apply'],
        input: { brief, outputs: '{{apply.outputs}}' },
      },
    ],
  },
  {
    name: 'repo-audit',
    description: 'The demo: one audit for each folder, spawned by the inventory, and one report of all.',
    match: { metadata: { playbook: 'repo-audit' } },
    subtasks: [
      { name: 'inventory', title: 'List folders and files', capability: 'repo-inventory', input: { root: '{{task.metadata.root}}' } },
      {
        name: 'report',
        title: 'Put the findings together',
        capability: 'repo-report',
        depends_on: ['inventory'],
        input: { inventory: '{{inventory.outputs}}' },
      },
    ],
  },
]
