// Roles in the deployment's own resource group. The table is roles.json.

@description('{id, type} of everybody, by who they are in the table.')
param principals object

@description('Account of the Functions host.')
param hostAccount string

@description('Account of the state.')
param stateAccount string

@description('Container of the state.')
param stateContainer string

@description('Container for definitions.')
param definitionsContainer string

@description('Container for events that could not be delivered.')
param deadLettersContainer string

@description('Service Bus namespace.')
param namespace string

@description('Queue that messages are taken from.')
param eventsQueue string

@description('Topic that messages are taken from.')
param eventsTopic string

@description('Subscription of the app to it.')
param eventsSubscription string

@description('Topic for outcomes.')
param outcomesTopic string

@description('Application Insights.')
param insights string

@description('Name of the identity that jobs run with.')
param jobsIdentity string

var table = loadJsonContent('../roles.json')
var grants = flatten(map(table.grants, row => map(principals[row.who], one => {
  on: row.on
  role: table.roles[row.role]
  id: one.id
  type: one.type
})))

resource hostStorage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostAccount
}

resource onHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'host'): {
  scope: hostStorage
  name: guid(hostStorage.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource stateStorage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: stateAccount
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' existing = {
  parent: stateStorage
  name: 'default'
}

resource state 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobs
  name: stateContainer
}

resource onState 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'state'): {
  scope: state
  name: guid(state.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource definitions 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobs
  name: definitionsContainer
}

resource onDefinitions 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'definitions'): {
  scope: definitions
  name: guid(definitions.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobs
  name: deadLettersContainer
}

resource onDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'deadLetters'): {
  scope: deadLetters
  name: guid(deadLetters.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespace
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: bus
  name: eventsQueue
}

resource onQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'queue'): {
  scope: queue
  name: guid(queue.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: bus
  name: eventsTopic
}

// The trigger needs it on the subscription itself; the topic does not do.
resource topicSubscription 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' existing = {
  parent: topic
  name: eventsSubscription
}

resource onSubscription 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'subscription'): {
  scope: topicSubscription
  name: guid(topicSubscription.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource outcomes 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: bus
  name: outcomesTopic
}

resource onOutcomes 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'outcomes'): {
  scope: outcomes
  name: guid(outcomes.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insights
}

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'insights'): {
  scope: component
  name: guid(component.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: jobsIdentity
}

resource onJobsIdentity 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'jobsIdentity'): {
  scope: identity
  name: guid(identity.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]
