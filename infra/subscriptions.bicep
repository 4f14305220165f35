// Event Grid's subscriptions. After the functions: Azure only takes a subscription to a function
// that is there. The hook after deployment (subscribe.py) hands over what main.bicep has put out.

targetScope = 'subscription'

@description('Resource ID of the function app.')
param functionAppId string

@description('<resource ID of a system topic>=<container>, separated by commas.')
param uploads string

@description('Resource ID of the workspace\'s system topic.')
param runTopicId string

@allowed([
  'functions'
  'queue'
])
@description('Where events are delivered to.')
param delivery string

@description('Resource ID of the Service Bus queue.')
param queueId string

@description('Resource ID of the identity that delivers into the queue and writes dead letters.')
param identityId string

@description('Resource ID of the container for events that cannot be delivered.')
param deadLettersId string

@description('What this deployment is called: two of them may subscribe to one source.')
param deploymentName string

var given = map(filter(split(uploads, ','), one => !empty(one)), one => {
  topicId: split(one, '=')[0]
  container: split(one, '=')[1]
})
// Containers that Signalbox and the Functions host write to themselves: their events would start nothing
// and cost as much as others'.
var own = ['signalbox-state', 'signalbox-definitions', 'signalbox-dead-letters', 'azure-webjobs-hosts', 'azure-webjobs-secrets', 'app-package', 'azureml']

module blobUploads 'modules/subscription.bicep' = [for one in filter(given, each => !contains(own, each.container)): {
  name: 'subscribe-${uniqueString(one.topicId, one.container, deploymentName)}'
  scope: resourceGroup(split(one.topicId, '/')[2], split(one.topicId, '/')[4])
  params: {
    topic: last(split(one.topicId, '/'))
    name: 'signalbox-${deploymentName}-${take(uniqueString(one.container), 6)}'
    functionId: delivery == 'queue' ? '' : '${functionAppId}/functions/blob_uploads'
    queueId: queueId
    identityId: identityId
    deadLettersId: deadLettersId
    eventTypes: ['Microsoft.Storage.BlobCreated']
    // Only uploads of this container, and only when they are finished: a Data Lake tells of a file
    // when it is created, and once more when it is closed.
    subjectBeginsWith: '/blobServices/default/containers/${one.container}/'
    advancedFilters: [
      {
        operatorType: 'StringIn'
        key: 'data.api'
        values: ['PutBlob', 'PutBlockList', 'CopyBlob', 'FlushWithClose']
      }
    ]
  }
}]

module runEvents 'modules/subscription.bicep' = {
  name: 'subscribe-${uniqueString(runTopicId, deploymentName)}'
  scope: resourceGroup(split(runTopicId, '/')[2], split(runTopicId, '/')[4])
  params: {
    topic: last(split(runTopicId, '/'))
    name: 'signalbox-${deploymentName}-runs'
    functionId: delivery == 'queue' ? '' : '${functionAppId}/functions/run_events'
    queueId: queueId
    identityId: identityId
    deadLettersId: deadLettersId
    eventTypes: [
      'Microsoft.MachineLearningServices.RunCompleted'
      'Microsoft.MachineLearningServices.RunStatusChanged'
      'Microsoft.MachineLearningServices.ModelRegistered'
    ]
    subjectBeginsWith: ''
    advancedFilters: []
  }
}
