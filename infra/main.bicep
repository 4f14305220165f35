targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment: dev, test, prod. Part of all names.')
param environmentName string

@minLength(1)
@description('Region of everything that is created. Flex Consumption must be offered there.')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Name of the resource group that is created.')
param resourceGroupName string = 'rg-${environmentName}'

@maxLength(31)
@description('SIGNALBOX_DEPLOYMENT: part of every key, job name and tag. Lower-case letters, digits and hyphens, a letter first. Never change it: all events would be new.')
param deploymentName string = take(toLower(replace(replace(environmentName, '_', '-'), '.', '-')), 31)

// What starts runs

@description('Containers whose uploads start runs: resource IDs (…/storageAccounts/<account>/blobServices/default/containers/<container>), separated by commas. In any resource group of any subscription that the deploying identity may write to.')
param sources string = ''

@description('Region of the storage accounts in sources: a system topic is where its source is.')
param sourcesLocation string = location

@description('System topics that exist already, since Azure allows one for each source: <name of the account or workspace>=<resource ID of the topic>, separated by commas. Each needs the identity in the output INFRA_EVENTS_IDENTITY_ID.')
param systemTopics string = ''

@description('Create a storage account with the container landing, to try uploads with.')
param createLanding bool = true

@allowed([
  'functions'
  'queue'
])
@description('Where Event Grid delivers to: the functions, or the Service Bus queue, for closed networks and for storms.')
param eventDelivery string = 'functions'

@description('Queue that messages are taken from.')
param eventsQueue string = 'signalbox-events'

@description('Topic that messages are taken from.')
param eventsTopic string = 'company-news'

@description('Subscription of the app to that topic.')
param eventsSubscription string = 'signalbox'

@description('Topic that outcomes of runs are published to.')
param outcomesTopic string = 'signalbox-outcomes'

// What runs them

@description('Resource ID of an AzureML workspace that exists. Left out: one is created, with its storage and key vault.')
param workspaceId string = ''

@description('Region of that workspace.')
param workspaceLocation string = location

@description('Object IDs of the managed identities of computes that exist: they are let read the sources. Separated by commas.')
param jobsPrincipalIds string = ''

// The function app

@minValue(1)
@maxValue(1000)
@description('The most instances at once. It bounds how fast Service Bus and AzureML are asked.')
param maximumInstanceCount int = 40

@allowed([
  512
  2048
  4096
])
@description('Memory of an instance, in megabytes.')
param instanceMemoryMB int = 2048

@description('Client ID of the Entra application in front of the HTTP API. With it, platform authentication is turned on, and keys are no longer asked for.')
param authenticationClientId string = ''

@description('What expressions read as settings.<name>: <name>=<value>, separated by commas.')
param variables string = ''

// Who may do what

@description('Object ID of who deploys: may publish. azd fills it in.')
param principalId string = ''

@allowed([
  'User'
  'ServicePrincipal'
])
@description('What principalId is.')
param principalType string = 'User'

@description('Object IDs of service principals that may publish besides, such as the one of a workflow. Separated by commas.')
param publisherPrincipalIds string = ''

// How it is kept

@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
@description('Redundancy of all storage accounts that are created. Standard_ZRS outlives the loss of a zone, where the region has zones.')
param storageSku string = 'Standard_LRS'

@minValue(1)
@description('Days that final records are kept. An event that is delivered again after that runs again.')
param retentionDays int = 30

@minValue(1)
@description('Days that history is kept: what explain can tell.')
param historyDays int = 180

@minValue(1)
@description('Days that manifests of batches are kept, in a workspace that is created here.')
param manifestDays int = 180

@description('Addresses that alerts are sent to, separated by commas. None: alerts are seen in the portal only.')
param alertEmails string = ''

// Closed networks

@allowed([
  'Standard'
  'Premium'
])
@description('Tier of Service Bus. Private endpoints need Premium.')
param serviceBusSku string = 'Standard'

@description('Resource ID of a subnet, delegated to Microsoft.App/environments, that the function app reaches others from.')
param functionSubnetId string = ''

@description('Resource ID of a subnet for private endpoints. With it, nothing that is created has a public address but Application Insights and Log Analytics; eventDelivery must be queue and serviceBusSku Premium.')
param privateEndpointSubnetId string = ''

@description('Resource IDs of private DNS zones for those endpoints, separated by commas. None: a policy or somebody else enters the names.')
param privateDnsZoneIds string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var hostAccount = 'sthost${token}'
var stateAccount = 'ststate${token}'
var landingAccount = 'stland${token}'
var stateContainer = 'signalbox-state'
var definitionsContainer = 'signalbox-definitions'
var deadLettersContainer = 'signalbox-dead-letters'
var packageContainer = 'app-package'

var groupId = '${subscription().id}/resourceGroups/${resourceGroupName}'
var landingId = '${groupId}/providers/Microsoft.Storage/storageAccounts/${landingAccount}'
var landing = createLanding ? ['${landingId}/blobServices/default/containers/landing'] : []
var containerIds = union(landing, filter(map(split(sources, ','), id => trim(id)), id => !empty(id)))
var accountIds = union(map(containerIds, id => split(id, '/blobServices/')[0]), [])
var givenTopics = filter(map(split(systemTopics, ','), one => trim(one)), one => !empty(one))
var topicIds = toObject(givenTopics, one => split(one, '=')[0], one => split(one, '=')[1])

var createWorkspace = empty(workspaceId)
var workspaceName = createWorkspace ? 'mlw-${token}' : last(split(workspaceId, '/'))
var workspaceGroup = createWorkspace ? resourceGroupName : split(workspaceId, '/')[4]
var workspaceSubscription = createWorkspace ? subscription().subscriptionId : split(workspaceId, '/')[2]

// A datastore for each container: contosolake/landing is contosolake_landing.
var places = map(containerIds, id => {
  account: last(split(split(id, '/blobServices/')[0], '/'))
  container: last(split(id, '/'))
  group: split(id, '/providers/')[0]
})
var datastores = map(places, place => {
  account: place.account
  container: place.container
  name: '${place.account}_${replace(place.container, '-', '_')}'
})
var datastoreSetting = join(map(datastores, one => '${one.account}/${one.container}=${one.name}'), ',')

// What the hook after deployment subscribes to: <system topic>=<container>. A topic's name has our token:
// where another deployment made one for the same source, ours fails aloud instead of taking it over.
var uploads = map(places, place => '${topicIds[?place.account] ?? '${place.group}/providers/Microsoft.EventGrid/systemTopics/evgt-${place.account}-${token}'}=${place.container}')

var publishers = union(empty(principalId) ? [] : [
  {
    id: principalId
    type: principalType
  }
], map(filter(map(split(publisherPrincipalIds, ','), id => trim(id)), id => !empty(id)), id => {
  id: id
  type: 'ServicePrincipal'
}))
var jobs = map(filter(map(split(jobsPrincipalIds, ','), id => trim(id)), id => !empty(id)), id => {
  id: id
  type: 'ServicePrincipal'
})

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

// Identities

module functionIdentity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity-function'
  scope: group
  params: {
    name: 'id-function-${token}'
    location: location
    tags: tags
  }
}

module jobsIdentity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity-jobs'
  scope: group
  params: {
    name: 'id-jobs-${token}'
    location: location
    tags: tags
  }
}

module eventsIdentity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity-events'
  scope: group
  params: {
    name: 'id-events-${token}'
    location: location
    tags: tags
  }
}

// What it stands on

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    alertEmails: alertEmails
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    sku: storageSku
    hostAccount: hostAccount
    packageContainer: packageContainer
    stateAccount: stateAccount
    stateContainer: stateContainer
    definitionsContainer: definitionsContainer
    deadLettersContainer: deadLettersContainer
    landingAccount: createLanding ? landingAccount : ''
    retentionDays: retentionDays
    historyDays: historyDays
    privateEndpointSubnetId: privateEndpointSubnetId
    privateDnsZoneIds: privateDnsZoneIds
  }
}

module messaging 'modules/messaging.bicep' = {
  name: 'messaging'
  scope: group
  params: {
    name: 'sb-${token}'
    location: location
    tags: tags
    sku: serviceBusSku
    eventsQueue: eventsQueue
    eventsTopic: eventsTopic
    eventsSubscription: eventsSubscription
    outcomesTopic: outcomesTopic
    privateEndpointSubnetId: privateEndpointSubnetId
    privateDnsZoneIds: privateDnsZoneIds
  }
}

module newWorkspace 'modules/workspace.bicep' = if (createWorkspace) {
  name: 'workspace'
  scope: group
  params: {
    name: workspaceName
    token: token
    location: location
    tags: tags
    storageSku: storageSku
    insightsId: monitoring.outputs.insightsId
    jobsIdentityId: jobsIdentity.outputs.resourceId
    manifestDays: manifestDays
    privateEndpointSubnetId: privateEndpointSubnetId
    privateDnsZoneIds: privateDnsZoneIds
  }
}

// The workspace, whoever made it: where its storage is, and a datastore for each source.
module workspace 'modules/workspace-contents.bicep' = {
  name: 'workspace-contents'
  scope: resourceGroup(workspaceSubscription, workspaceGroup)
  params: {
    name: workspaceName
    datastores: datastores
  }
  dependsOn: [
    newWorkspace
    storage
  ]
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    functionSubnetId: functionSubnetId
    privateEndpointSubnetId: privateEndpointSubnetId
    privateDnsZoneIds: privateDnsZoneIds
    identityId: functionIdentity.outputs.resourceId
    identityClientId: functionIdentity.outputs.clientId
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    hostAccount: hostAccount
    packageContainer: packageContainer
    authenticationClientId: authenticationClientId
    variables: variables
    settings: {
      SIGNALBOX_DEPLOYMENT: deploymentName
      SIGNALBOX_STATE_ACCOUNT: stateAccount
      SIGNALBOX_STATE_CONTAINER: stateContainer
      SIGNALBOX_DEFINITIONS_CONTAINER: definitionsContainer
      SIGNALBOX_SUBSCRIPTION_ID: workspaceSubscription
      SIGNALBOX_RESOURCE_GROUP: workspaceGroup
      SIGNALBOX_WORKSPACE: workspaceName
      SIGNALBOX_DATASTORES: datastoreSetting
      SIGNALBOX_EVENTS_QUEUE: eventsQueue
      SIGNALBOX_EVENTS_TOPIC: eventsTopic
      SIGNALBOX_EVENTS_SUBSCRIPTION: eventsSubscription
      SIGNALBOX_OUTCOMES_TOPIC: outcomesTopic
      ServiceBusConnection__fullyQualifiedNamespace: messaging.outputs.host
    }
  }
  dependsOn: [
    storage
  ]
}

// Event Grid: topics now; subscriptions once the functions are there (subscriptions.bicep)

module uploadTopics 'modules/system-topic.bicep' = [for accountId in accountIds: {
  name: 'uploads-${uniqueString(accountId)}'
  scope: resourceGroup(split(accountId, '/')[2], split(accountId, '/')[4])
  params: {
    existingId: topicIds[?last(split(accountId, '/'))] ?? ''
    name: 'evgt-${last(split(accountId, '/'))}-${token}'
    location: accountId == landingId ? location : sourcesLocation
    tags: tags
    sourceId: accountId
    topicType: 'Microsoft.Storage.StorageAccounts'
    identityId: eventsIdentity.outputs.resourceId
  }
  dependsOn: [
    storage
  ]
}]

module runTopic 'modules/system-topic.bicep' = {
  name: 'runs'
  scope: resourceGroup(workspaceSubscription, workspaceGroup)
  params: {
    existingId: topicIds[?workspaceName] ?? ''
    name: 'evgt-${take(workspaceName, 30)}-${token}'
    location: createWorkspace ? location : workspaceLocation
    tags: tags
    sourceId: workspace.outputs.id
    topicType: 'Microsoft.MachineLearningServices.Workspaces'
    identityId: eventsIdentity.outputs.resourceId
  }
}

// Who may do what: roles.json is the table

var principals = {
  function: [
    {
      id: functionIdentity.outputs.principalId
      type: 'ServicePrincipal'
    }
  ]
  jobs: union([
    {
      id: jobsIdentity.outputs.principalId
      type: 'ServicePrincipal'
    }
  ], jobs)
  publisher: publishers
  events: [
    {
      id: eventsIdentity.outputs.principalId
      type: 'ServicePrincipal'
    }
  ]
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principals: principals
    hostAccount: hostAccount
    stateAccount: stateAccount
    stateContainer: stateContainer
    definitionsContainer: definitionsContainer
    deadLettersContainer: deadLettersContainer
    namespace: messaging.outputs.name
    eventsQueue: eventsQueue
    eventsTopic: eventsTopic
    eventsSubscription: eventsSubscription
    outcomesTopic: outcomesTopic
    insights: monitoring.outputs.insightsName
    jobsIdentity: jobsIdentity.outputs.name
  }
  dependsOn: [
    storage
  ]
}

module workspaceRoles 'modules/roles-workspace.bicep' = {
  name: 'roles-workspace'
  scope: resourceGroup(workspaceSubscription, workspaceGroup)
  params: {
    principals: principals
    workspace: workspaceName
    storageId: workspace.outputs.storageId
  }
}

module sourceRoles 'modules/roles-storage.bicep' = [for accountId in accountIds: {
  name: 'roles-${uniqueString(accountId)}'
  scope: resourceGroup(split(accountId, '/')[2], split(accountId, '/')[4])
  params: {
    principals: principals
    account: last(split(accountId, '/'))
    place: 'source'
  }
  dependsOn: [
    storage
  ]
}]

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    namespaceId: messaging.outputs.id
    eventsQueue: eventsQueue
    eventsTopic: eventsTopic
    actionGroupIds: monitoring.outputs.actionGroupIds
  }
}

// What the command line and the hook after deployment read. azd keeps outputs as variables of the
// environment: `azd env get-values`.

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_NAME string = app.outputs.name

output SIGNALBOX_URL string = app.outputs.url
output SIGNALBOX_DEPLOYMENT string = deploymentName
output SIGNALBOX_STATE_ACCOUNT string = stateAccount
output SIGNALBOX_STATE_CONTAINER string = stateContainer
output SIGNALBOX_DEFINITIONS_CONTAINER string = definitionsContainer
output SIGNALBOX_SUBSCRIPTION_ID string = workspaceSubscription
output SIGNALBOX_RESOURCE_GROUP string = workspaceGroup
output SIGNALBOX_WORKSPACE string = workspaceName
output SIGNALBOX_DATASTORES string = datastoreSetting
output SIGNALBOX_EVENTS_QUEUE string = eventsQueue
output SIGNALBOX_EVENTS_TOPIC string = eventsTopic
output SIGNALBOX_EVENTS_SUBSCRIPTION string = eventsSubscription

output INFRA_FUNCTION_APP_ID string = app.outputs.id
output INFRA_UPLOADS string = join(uploads, ',')
output INFRA_RUN_TOPIC_ID string = runTopic.outputs.id
output INFRA_DELIVERY string = eventDelivery
output INFRA_EVENTS_QUEUE_ID string = messaging.outputs.queueId
output INFRA_EVENTS_IDENTITY_ID string = eventsIdentity.outputs.resourceId
output INFRA_JOBS_IDENTITY_ID string = jobsIdentity.outputs.resourceId
output INFRA_DEAD_LETTERS_ID string = '${storage.outputs.stateId}/blobServices/default/containers/${deadLettersContainer}'
