// The events of one source. Azure allows one system topic for each; one that is there is left alone.

@description('Resource ID of the topic that exists; one is made when empty.')
param existingId string

@description('Name of the topic that is made.')
param name string

@description('Region: the source\'s.')
param location string

@description('Tags of everything.')
param tags object

@description('Resource ID of the source.')
param sourceId string

@description('Event Grid\'s name of this kind of source.')
param topicType string

@description('The identity that delivers into the queue and writes dead letters.')
param identityId string

module topic 'br/public:avm/res/event-grid/system-topic:0.7.0' = if (empty(existingId)) {
  name: 'topic-${uniqueString(sourceId)}'
  params: {
    name: name
    location: location
    tags: tags
    source: sourceId
    topicType: topicType
    managedIdentities: {
      userAssignedResourceIds: [
        identityId
      ]
    }
  }
}

output id string = empty(existingId) ? (topic.?outputs.resourceId ?? '') : existingId
