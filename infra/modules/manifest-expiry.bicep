// Manifests of batches, which Signalbox writes into the workspace's own container, go by their age.

@description('Storage account of the workspace.')
param account string

@description('Name of the workspace.')
param workspace string

@description('Days that manifests are kept.')
param days int

resource mine 'Microsoft.MachineLearningServices/workspaces@2024-10-01' existing = {
  name: workspace
}

resource store 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: account
}

resource policy 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: store
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'manifests'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['azureml-blobstore-${mine.properties.workspaceId}/signalbox/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: days
                }
              }
            }
          }
        }
      ]
    }
  }
}
