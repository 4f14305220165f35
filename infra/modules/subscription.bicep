// One subscription of one system topic.

@description('Name of the system topic.')
param topic string

@description('Name of the subscription.')
param name string

@description('Resource ID of the function that events go to; into the queue when empty.')
param functionId string

@description('Resource ID of the Service Bus queue.')
param queueId string

@description('The identity that delivers into the queue and writes dead letters.')
param identityId string

@description('Resource ID of the container for events that cannot be delivered.')
param deadLettersId string

@description('Kinds of events.')
param eventTypes array

@description('What their subject begins with.')
param subjectBeginsWith string

@description('What else holds for them.')
param advancedFilters array

var identity = {
  type: 'UserAssigned'
  userAssignedIdentity: identityId
}

resource systemTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topic
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: systemTopic
  name: name
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: empty(functionId) ? null : {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: functionId
        // One event a call: one that fails does not bring others back.
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    deliveryWithResourceIdentity: empty(functionId) ? {
      identity: identity
      destination: {
        endpointType: 'ServiceBusQueue'
        properties: {
          resourceId: queueId
        }
      }
    } : null
    filter: {
      includedEventTypes: eventTypes
      subjectBeginsWith: subjectBeginsWith
      advancedFilters: advancedFilters
    }
    // A day, which is Event Grid's longest; then it is a dead letter, and sweeps find the upload.
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: identity
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: split(deadLettersId, '/blobServices/')[0]
          blobContainerName: last(split(deadLettersId, '/'))
        }
      }
    }
  }
}
